"""An SQL script: its statements, told apart as the mysql client does.

No library does it: sqlparse and sqlglot know no DELIMITER, and sqlglot drops `/*! ... */`, which
MySQL runs. What the client does with odd scripts was tried on MariaDB's.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

COMMENT = r"""
    \#[^\n]*+
  | --(?=\s|\Z)[^\n]*+        # MySQL's comments need the space: 1--1 is 2
  | /\*(?!M?!).*?\*/          # /*! and /*M! are statements to servers of their version
"""
QUOTED = r"""
    '(?:[^'\\]|\\.)*+'        # 'it''s' counts as two strings: nothing stands between them
  | "(?:[^"\\]|\\.)*+"
  | `[^`]*+`
"""
FLAGS = re.DOTALL | re.VERBOSE | re.ASCII
# Before a statement the client also takes `--x` for a comment, and MariaDB's dumps begin with a
# command to the client itself.
BLANK = re.compile(rf"(?:\s++ | {COMMENT} | --[^\n]*+ | /\*M!999999\\-.*?\*/)*+", FLAGS)
DELIMITER = re.compile(r"delimiter(?:[ \t]+([^\n]*))?(?:\n|\Z)", re.IGNORECASE)
EXECUTABLE = re.compile(r"/\*M?!\d*(.*)\*/", re.DOTALL)
# Statements that a ROLLBACK undoes. Others commit by themselves, may hold one that does (CALL,
# EXECUTE), or begin and end transactions of their own.
UNDONE_BY_ROLLBACK = re.compile(
    r"""[\s(]*+(?:
        INSERT | REPLACE | UPDATE | DELETE | SELECT | WITH | VALUES | DO | SHOW | EXPLAIN | DESC
      | DESCRIBE | USE | SAVEPOINT | (?:CREATE|DROP)\s+TEMPORARY
      | SET (?!.*\b(?:AUTOCOMMIT|PASSWORD|STATEMENT)\b)
    )\b""",
    FLAGS | re.IGNORECASE,
)
DDL = re.compile(r"(?:CREATE|ALTER|DROP|RENAME|TRUNCATE)\b", re.IGNORECASE)


class ScriptError(Exception):
    """The script cannot be told apart into statements; the message says where."""


class Statement(NamedTuple):
    """A statement, its number in the script, and the line that it begins on."""

    number: int
    line: int
    sql: str

    def __str__(self) -> str:
        return f"statement {self.number} (line {self.line})"

    @property
    def data(self) -> bytes:
        """The statement in UTF-8, with the bytes of BLOBs as they were in the file."""
        return self.sql.encode("utf-8", "surrogateescape")

    @property
    def can_roll_back(self) -> bool:
        """Whether a ROLLBACK undoes it in tables that have transactions."""
        whole = EXECUTABLE.fullmatch(self.sql)
        return bool(UNDONE_BY_ROLLBACK.match(whole[1] if whole else self.sql))

    @property
    def is_ddl(self) -> bool:
        """Whether it changes the schema, by itself all or nothing."""
        return bool(DDL.match(self.sql))


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements, without their delimiters and the comments before them."""
    position, line, number, delimiter = 0, 1, 0, ";"
    while True:
        start = end_of(BLANK, text, position)
        line += text.count("\n", position, start)
        if start == len(text):
            return
        if command := DELIMITER.match(text, start):
            delimiter, position = read_delimiter(command[1], line), command.end()
            line += text.count("\n", start, position)
            continue
        end, position = find_end(text, start, line, delimiter)
        if end > start:  # `;;` has nothing in between
            number += 1
            yield Statement(number, line, text[start:end].rstrip())
        line += text.count("\n", start, position)


def end_of(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Return where a pattern ends that matches at least nothing."""
    match = pattern.match(text, position)
    return match.end() if match else position


def read_delimiter(argument: str | None, line: int) -> str:
    """Return what a DELIMITER command sets: its first word, which may be quoted."""
    words = (argument or "").split()
    delimiter = words[0].strip("'\"`") if words else ""
    if not delimiter or "\\" in delimiter:
        raise ScriptError(f"line {line}: DELIMITER needs a word without a backslash")
    return delimiter


def find_end(text: str, start: int, line: int, delimiter: str) -> tuple[int, int]:
    """Return where the statement ends, and where the text goes on after its delimiter."""
    for part in parts(delimiter).finditer(text, start):
        if part["open"]:
            line += text.count("\n", start, part.start())
            raise ScriptError(f"line {line}: {part['open']} is not closed")
        if part["end"]:
            return part.start(), part.end()
    return len(text), len(text)


@cache
def parts(delimiter: str) -> re.Pattern[str]:
    """Return a pattern of what ends a statement, and of that in which nothing does."""
    end, still_open = rf"(?P<end>{re.escape(delimiter)})", r"(?P<open>['\"`]|/\*(?!M?!))"
    return re.compile(f"{end} | {QUOTED} | {COMMENT} | {still_open}", FLAGS)
