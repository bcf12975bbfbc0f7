"""The .env file: settings for work on a laptop, in the form of python-dotenv."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dotenv.parser import Binding, parse_stream

from conf import ROOT
from conf.setting import misspelt
from conf.settings import Settings


class EnvFile(NamedTuple):
    """The values of an .env file by NAME, and a line for each fault in it."""

    values: dict[str, str]
    faults: list[str]


def read_env_file() -> EnvFile:
    """Read .env, or the file that ENV_FILE names; no .env is as good as an empty one.

    Its values are kept apart from os.environ, so that a reload sees what was taken out of it.
    """
    path = Path(os.environ.get("ENV_FILE", ROOT / ".env"))
    if "ENV_FILE" not in os.environ and not path.exists():
        return EnvFile({}, [])
    try:
        bindings = list(parse_stream(io.StringIO(path.read_text("utf-8-sig"))))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is another encoding"
        name = "ENV_FILE" if "ENV_FILE" in os.environ else path
        return EnvFile({}, [f"{name}: expected a readable file in UTF-8 ({reason})"])
    values = {b.key: b.value for b in bindings if b.key is not None and b.value is not None}
    return EnvFile(values, list(faults_of(path, bindings)))


def faults_of(path: Path, bindings: list[Binding]) -> Iterator[str]:
    """Yield a line for each fault; it shows nothing of the file: any word may be a secret."""
    for binding in bindings:
        text = binding.original.string
        line = binding.original.line + len(text) - len(text.lstrip("\n"))
        if binding.error or (binding.key and binding.value is None):
            yield f"{path}, line {line}: expected NAME=value, with each quote closed"
        elif binding.value and "\n" in binding.value:
            yield f"{path}, line {line}: expected one line; is a quote not closed?"
        elif binding.key and (hint := misspelt(Settings, binding.key)):
            yield f"{path}, line {line}: unknown setting, {hint}"
