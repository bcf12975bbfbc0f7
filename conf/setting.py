"""What can be set: the fields of a class of settings, and of its groups.

A field is a setting and named in capitals; a field that is a Struct is a group, whose name stands
before those of its fields. A type may hold a function that checks the value, and raises
ValueError("expected ..."). The first field of a group may be `url`, which sets others of it: its
type holds the forms that conf/url.py reads.
"""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from conf.url import Form

LIMITS = {
    "ge": "at least",
    "gt": "above",
    "le": "at most",
    "lt": "below",
    "min_length": "of a length of at least",
    "max_length": "of a length of at most",
    "pattern": "of the form",
}
# What Kubernetes puts into the environment for a Service that is called mysql or redis.
SERVICE_LINK = re.compile(r"\w+_SERVICE_(HOST|PORT)\w*|\w+_PORT(_\d+_\w+)?")


class Secret(str):
    """A text whose `repr` is masked, so that no log or traceback shows it."""

    __slots__ = ()
    is_secret = True

    def __repr__(self) -> str:
        return "***"


class Setting(NamedTuple):
    """What can be set: its NAME, its type, the same with limits, its meaning, and its default.

    `url` is the setting of its group that may set it too.
    """

    name: str
    type: Any
    hint: Any
    meaning: str
    default: Any
    url: Any = None

    @property
    def forms(self) -> dict[str, Form]:
        """The forms of a `url`."""
        return next(extra for extra in get_args(self.hint) if isinstance(extra, dict))

    @property
    def is_secret(self) -> bool:
        """Return whether nobody may see the value.

        By an attribute, for a reload makes the class anew; also of `Secret | None` and the like.
        """
        return any(hasattr(kind, "is_secret") for kind in (self.type, *get_args(self.type)))

    @property
    def expected(self) -> str:
        if get_origin(self.type) is Literal:
            return "one of " + ", ".join(get_args(self.type))
        kinds = {int: "an integer", float: "a number", bool: "true or false"}
        metas = [extra for extra in get_args(self.hint) if isinstance(extra, Meta)]
        limits = [(words, getattr(m, name)) for m in metas for name, words in LIMITS.items()]
        texts = [f"{words} {limit}" for words, limit in limits if limit is not None]
        return ", ".join([kinds.get(self.type, "a text"), *texts])


def is_group(field: Any) -> bool:
    return isinstance(field.type, type) and issubclass(field.type, Struct)


def settings_of(cls: type[Struct], prefix: str = "") -> Iterator[Setting]:
    """Yield the settings of a class and of its groups."""
    url = None
    for field in msgspec.structs.fields(cls):
        name = prefix + field.name.upper()
        if is_group(field):
            yield from settings_of(field.type, f"{name}_")
        else:
            kind, *extras = get_args(field.type) or [field.type]
            meanings = [extra for extra in extras if isinstance(extra, str)]
            if not meanings:
                raise TypeError(f'{cls.__name__}.{field.name}: expected Annotated[type, "meaning"]')
            setting = Setting(name, kind, field.type, meanings[0], field.default, url)
            url = setting if field.name == "url" else url
            yield setting


def names_of(cls: type[Struct]) -> set[str]:
    """Return every name that sets something, those of the files of secrets among them."""
    settings = list(settings_of(cls))
    return {s.name for s in settings} | {f"{s.name}_FILE" for s in settings if s.is_secret}


def prefixes_of(cls: type[Struct]) -> tuple[str, ...]:
    return tuple(f"{f.name.upper()}_" for f in msgspec.structs.fields(cls) if is_group(f))


def unknown_names(cls: type[Struct], given: Iterable[str]) -> list[str]:
    """Return the names that begin as those of a group do, MYSQL_ for one, and set nothing."""
    unknown = sorted(filter(str.isidentifier, set(given) - names_of(cls)))
    return [n for n in unknown if n.startswith(prefixes_of(cls)) and not SERVICE_LINK.fullmatch(n)]


def misspelt(cls: type[Struct], name: str) -> str:
    """Return what helps if a name of an .env file looks like a setting and is none, else ""."""
    names, word = names_of(cls), re.sub("[.-]", "_", name.upper())
    if name in names:
        return ""
    nearest = [prefix + word for prefix in prefixes_of(cls) if prefix + word in names]
    if nearest := nearest or get_close_matches(word, names, n=1, cutoff=0.75):
        return f"did you mean {' or '.join(nearest)}?"
    return "see sh run.sh config" if unknown_names(cls, [word]) else ""
