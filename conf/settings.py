"""Your settings, beside the template's in conf/groups.py.

A field is a setting, `greeting` is GREETING in the environment and in .env:

    greeting: Annotated[str, "how /hello begins"] = "Hello"

In your code: `from conf.current import settings`, then `settings.greeting`.
"""

from conf.groups import TemplateSettings


class Settings(TemplateSettings, frozen=True, kw_only=True):
    """The service's settings: the template's, and yours."""
