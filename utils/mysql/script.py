"""An SQL script: split into statements as the mysql client does.

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
DELIMITER = re.compile(r"delimiter[ \t]+(\S+)[^\n]*\n?", re.IGNORECASE)
EXECUTABLE = re.compile(r"/\*M?!\d*((?:(?!\*/).)*)\*/", re.DOTALL)
# What the server itself skips before a statement and between its words; not what it may run.
BEFORE, GAP = rf"(?:[\s(]++ | {COMMENT})*+", rf"(?:\s++ | {COMMENT})++"
# Statements that stay within a transaction, and that a ROLLBACK undoes. All others commit by
# themselves, begin and end transactions, may hold a statement that does (EXECUTE, BEGIN NOT
# ATOMIC), or last beyond it (SET GLOBAL). The manuals' lists of implicit commits (MySQL 9.7,
# MariaDB 11.8) are not complete, and grow: so this is what was tried on both, and did not commit.
UNDONE_BY_ROLLBACK = re.compile(
    rf"""{BEFORE}(?:
        INSERT | REPLACE | UPDATE | DELETE | SELECT | WITH | VALUES | TABLE | DO | SHOW | EXPLAIN
      | DESC | DESCRIBE | USE | HANDLER | CHECKSUM | GET | LOAD{GAP}(?:DATA|XML)
      | SAVEPOINT | RELEASE | ROLLBACK{GAP}(?:WORK{GAP})?TO
      | (?:CREATE(?:{GAP}OR{GAP}REPLACE)?|DROP){GAP}TEMPORARY{GAP}TABLE
      | SET (?!.*\b(?:AUTOCOMMIT|PASSWORD|STATEMENT|ROLE|GLOBAL|PERSIST|PERSIST_ONLY)\b)
    )\b""",  # noqa: S608
    FLAGS | re.IGNORECASE,
)
CALL = re.compile(rf"{BEFORE}CALL\b", FLAGS | re.IGNORECASE)
OTHER_CHARACTER_SET = re.compile(
    rf"""{BEFORE}SET\b.*\b(?:NAMES|CHARACTER\s+SET|CHARSET|CHARACTER_SET_\w+)\b
        (?![\s=`]*+['"]?utf8mb4\b)""",
    FLAGS | re.IGNORECASE,
)
UPSERT = re.compile(
    rf"{BEFORE}(?:REPLACE\b | INSERT\b.*\bON{GAP}DUPLICATE{GAP}KEY\b)", FLAGS | re.IGNORECASE
)
DDL = re.compile(r"(?:CREATE|ALTER|DROP|RENAME|TRUNCATE)\b", re.IGNORECASE)


class ScriptError(Exception):
    """The script cannot be split into statements; the message says where."""


class Statement(NamedTuple):
    """A statement, its number in the script, and where it begins."""

    number: int
    sql: str
    script: str
    start: int

    def __str__(self) -> str:
        return f"statement {self.number} (line {line_at(self.script, self.start)})"

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
    position, number, delimiter = 0, 0, ";"
    while (start := end_of(BLANK, text, position)) < len(text):
        if command := DELIMITER.match(text, start):
            delimiter, position = command[1], command.end()
            continue
        end, position = find_end(text, start, delimiter)
        if end > start:  # `;;` has nothing in between
            number += 1
            yield Statement(number, text[start:end].rstrip(), text, start)


def end_of(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Return where a pattern ends that matches at least nothing."""
    match = pattern.match(text, position)
    return match.end() if match else position


def find_end(text: str, start: int, delimiter: str) -> tuple[int, int]:
    """Return where the statement ends, and where the text goes on after its delimiter."""
    for part in parts(delimiter).finditer(text, start):
        if part["open"]:
            line = line_at(text, part.start())
            raise ScriptError(f"line {line}: {part['open']} is not closed")
        if part["end"]:
            return part.start(), part.end()
    return len(text), len(text)


def line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


@cache
def parts(delimiter: str) -> re.Pattern[str]:
    """Return a pattern of what ends a statement, and of that in which nothing does."""
    end, still_open = rf"(?P<end>{re.escape(delimiter)})", r"(?P<open>['\"`]|/\*(?!M?!))"
    return re.compile(f"{end} | {QUOTED} | {COMMENT} | {still_open}", FLAGS)
