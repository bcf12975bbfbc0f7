"""Statements with their values in place of the parameters, ready to be sent.

All that may be wrong with them is found here, where nothing was sent yet.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from pymysql.cursors import RE_INSERT_VALUES

from utils.mysql.errors import StatementError
from utils.mysql.script import COMMENT, FLAGS, OTHER_CHARACTER_SET, QUOTED
from utils.mysql.values import Quote, literal

Values = Sequence[Any] | dict[str, Any]
BATCH_BYTES = 1_000_000  # a statement of many rows; servers take 1 MiB and more
LONGEST_KEPT = 10_000  # characters of a statement
# Also a quote that is not closed is wrong, as the next value would close it.
PARAMETER = re.compile(
    rf"""(?P<rest>{QUOTED} | {COMMENT} | %%)
       | (?P<in>(?<![\w$@.`])IN\s*+)?(?P<is>%s | %\((?P<name>\w+)\)s)
       | (?P<wrong>% | ['"`])""",
    FLAGS | re.IGNORECASE,
)
LISTS = frozenset({list, tuple, set, frozenset})
# Nothing is in it, and everything, a NULL too, is not; with `(NULL)` nothing is not in it either.
EMPTY_LIST = "(SELECT NULL FROM DUAL WHERE FALSE)"


def in_list(values: Collection[Any], quote: Quote) -> str:
    """Return what stands after IN; the items may be rows themselves: `(a, b) IN %s`."""
    items = [in_list(v, quote) if type(v) in LISTS else literal(v, quote) for v in values]
    return f"({', '.join(items)})" if items else EMPTY_LIST


def bind(sql: str, values: Values | None, quote: Quote) -> bytes:
    """Return the statement with its values, ready to be sent.

    What is wrong with it is raised here, where nothing was sent: TypeError for a type, else
    StatementError. With None for values a percent sign is just that.
    """
    if OTHER_CHARACTER_SET.match(sql):  # in some a byte of a value takes the backslash after it
        raise StatementError("the session stays in utf8mb4, in which values are sent")
    try:
        return (sql if values is None else fill(sql, values, quote)).encode()
    except UnicodeEncodeError:  # it holds the text, and so would our error's context
        pass
    raise StatementError("a str with half of a surrogate pair, for which UTF-8 has no form")


def fill(sql: str, values: Values, quote: Quote) -> str:
    """Return the statement with a literal for each `%s`, or each `%(name)s` of a dict."""
    parse = parsed if len(sql) <= LONGEST_KEPT else parsed.__wrapped__
    text, names, after_in = parse(sql)
    if not isinstance(values, (tuple, list, dict)):
        raise TypeError(f"values are a tuple, a list or a dict, not {type(values).__name__}")
    if isinstance(values, dict) or any(names):
        values = by_name(values, names)
    if len(values) != len(names):
        raise StatementError(f"{len(names)} parameters, but {len(values)} values")
    if LISTS.isdisjoint(map(type, values)):
        return text % tuple([literal(value, quote) for value in values])
    literals = [
        in_list(value, quote) if after and type(value) in LISTS else literal(value, quote)
        for value, after in zip(values, after_in, strict=True)
    ]
    return text % tuple(literals)


def by_name(values: Values, names: Sequence[str]) -> Sequence[Any]:
    """Return the values of a dict, or of the one that is all the values, in the order of names."""
    named = values[0] if len(values) == 1 and not isinstance(values, dict) else values
    if not isinstance(named, dict):
        raise TypeError("parameters with names take one dict")
    try:
        return [named[name] for name in names]
    except KeyError as error:
        raise StatementError(f"there is no value for %({error.args[0]})s") from None


@lru_cache(512)
def parsed(sql: str) -> tuple[str, list[str], list[bool]]:
    """Return the statement with `%s` alone, the name of each or "", and whether it is after IN."""
    names, after_in = [], []

    def form(match: re.Match[str]) -> str:
        if match["wrong"] or "%" in (match["rest"] or "").replace("%%", ""):
            raise StatementError("in a statement with values, a percent sign is %%, also in quotes")
        if match["is"]:
            names.append(match["name"] or "")
            after_in.append(bool(match["in"]))
            return f"{match['in'] or ''}%s"
        return match[0]

    return PARAMETER.sub(form, sql), names, after_in


def batches(sql: str, rows: Iterable[Values], quote: Quote) -> Iterator[tuple[bytes, list[Values]]]:
    """Yield statements that write the rows, each with its rows; an INSERT takes many at once."""
    match = RE_INSERT_VALUES.match(sql)
    around = (match[1], match[3] or "") if match else ("%", "")
    if not match or any("%" in text.replace("%%", "") for text in around):
        for values in rows:  # no INSERT of values alone
            yield bind(sql, values, quote), [values]
        return
    before, after = (bind(text, (), quote) for text in around)
    batch: list[Values] = []
    parts: list[bytes] = []
    size = 0
    for values in rows:
        part = bind(match[2], values, quote)
        if batch and size + len(part) > BATCH_BYTES:
            yield before + b",".join(parts) + after, batch
            batch, parts, size = [], [], 0
        batch.append(values)
        parts.append(part)
        size += len(part) + 1
    if batch:
        yield before + b",".join(parts) + after, batch
