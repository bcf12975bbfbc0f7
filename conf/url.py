"""Reads the URL of a server, as hosters hand it out: several settings of a group in one.

No message repeats a part of it: with a / or ? that is not written as %XX, a password could be any.
"""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

# Of the mysql client; its PREFERRED is none of ours, for anybody on the way can make it DISABLED.
SSL_MODES = {
    "DISABLED": "off",
    "REQUIRED": "on",
    "VERIFY_CA": "verify-ca",
    "VERIFY_IDENTITY": "verify",
}


class Form(NamedTuple):
    """The URLs of a scheme: an example, the settings that its options are, and what it implies."""

    example: str
    path: str  # the setting that stands there
    options: dict[str, str]
    implied: dict[str, str]


MYSQL_OPTIONS = {
    "ssl-mode": "TLS",
    "ssl-ca": "TLS_CA",
    "ssl-cert": "TLS_CERT",
    "ssl-key": "TLS_KEY",
    "socket": "HOST",
}
REDIS_OPTIONS = {"ssl_ca_certs": "TLS_CA", "ssl_certfile": "TLS_CERT", "ssl_keyfile": "TLS_KEY"}
MYSQL_FORMS = {
    "mysql": Form("mysql://user:password@host:3306/database", "DATABASE", MYSQL_OPTIONS, {}),
}
REDIS_FORMS = {
    "redis": Form("redis://user:password@host:6379/0", "DB", {}, {"TLS": "off"}),
    "rediss": Form("rediss://user:password@host:6379/0", "DB", REDIS_OPTIONS, {"TLS": "verify"}),
    "unix": Form("unix:///path?db=0", "HOST", {"db": "DB", "password": "PASSWORD"}, {}),
}


def read(forms: dict[str, Form], url: str) -> dict[str, str | None]:
    """Return what a URL sets, by the names in its group; None is what it leaves at its default.

    Raises ValueError("expected ...").
    """
    form = forms.get(url.partition(":")[0]) or next(iter(forms.values()))
    try:
        found = dict(parts(form, url))
        host = found["HOST"]
    except (ValueError, KeyError):  # whose own messages quote the URL
        words = f"{form.example}, with %XX for special characters"
        options = " or ".join(form.options) or "none"
        raise ValueError(f"expected {words}; options: {options}") from None
    return {"HOST": host, "PORT": None, "USER": None, form.path: None, **form.implied, **found}


def parts(form: Form, url: str) -> Iterator[tuple[str, str]]:
    """Yield the settings that stand in a URL; raise ValueError or KeyError for anything else."""
    address = urlsplit(url)
    known = form.example.startswith(f"{address.scheme}://")
    if not known or address.fragment or "@" in address.path:  # these are parts of a password
        raise ValueError
    path = address.path if form.path == "HOST" else address.path.removeprefix("/")
    for name, text in (("USER", address.username), (form.path, path), ("HOST", address.hostname)):
        if text:
            yield name, unquote(text, errors="strict")
    if address.password is not None:
        yield "PASSWORD", unquote(address.password, errors="strict")
    if address.port is not None:
        yield "PORT", str(address.port)
    query = parse_qsl(address.query, keep_blank_values=True, strict_parsing=bool(address.query))
    for option, text in query:
        name = form.options[option]
        yield name, SSL_MODES[text.upper()] if name == "TLS" else text
