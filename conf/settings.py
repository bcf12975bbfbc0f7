"""Your settings, beside the template's in conf/groups.py.

A field is a setting with a type, its meaning and a default; without one it has to be set.
`greeting` is GREETING in the environment and in .env; in code: `from conf.current import settings`.

    greeting: Annotated[str, "how /hello begins"] = "Hello"  # from typing import Annotated
"""

from conf.groups import TemplateSettings


class Settings(TemplateSettings, frozen=True, kw_only=True):
    """The service's settings: the template's, and yours."""
