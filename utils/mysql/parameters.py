"""Statements with their values in place of the parameters, ready to be sent.

All that may be wrong with them is found here, where nothing was sent yet.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pymysql.cursors import RE_INSERT_VALUES

from utils.mysql.errors import StatementError
from utils.mysql.values import Quote, literal

Values = Sequence[Any] | Mapping[str, Any]
BATCH_BYTES = 1_000_000  # a statement of many rows; servers take 1 MiB and more
PLACEHOLDER = re.compile(r"%(?:%|s|\((?P<name>\w+)\)s)?")
LISTS = frozenset({list, tuple, set, frozenset})
AFTER_IN = re.compile(r"(?<![\w$@.`])IN\s*\Z", re.IGNORECASE)
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
    try:
        return (sql if values is None else fill(sql, values, quote)).encode()
    except UnicodeEncodeError:  # it holds the text, and so would our error's context
        pass
    raise StatementError("a str with half of a surrogate pair, for which UTF-8 has no form")


def fill(sql: str, values: Values, quote: Quote) -> str:
    """Return the statement with a literal for each `%s`, or each `%(name)s` of a dict."""
    if not isinstance(values, (tuple, list, Mapping)):
        raise TypeError(f"values are a tuple, a list or a dict, not {type(values).__name__}")
    if sql.count("%") == sql.count("%s") == len(values) and not isinstance(values, Mapping):
        if LISTS.isdisjoint(map(type, values)):  # as in nearly all
            return sql % tuple([literal(value, quote) for value in values])
    elif len(values) == 1 and "%(" in sql and not isinstance(values, Mapping):
        values = values[0] if isinstance(values[0], Mapping) else values
    return fill_slowly(sql, values, quote)


def fill_slowly(sql: str, values: Values, quote: Quote) -> str:
    """Do the same, with all that a placeholder may be."""
    named = values if isinstance(values, Mapping) else None
    rest = list(values) if named is None else []

    def form(match: re.Match[str]) -> str:
        mark, name = match[0], match["name"]
        if mark == "%%":
            return "%"
        if mark == "%":
            raise StatementError("a percent sign is %% in a statement with values")
        if name and named is None:
            raise TypeError(f"{mark} takes its value from one dict for all")
        try:
            value = named[name] if named is not None and name else rest.pop(0)
        except LookupError:
            raise StatementError(f"there is no value for {mark}") from None
        if type(value) in LISTS and AFTER_IN.search(sql[: match.start()]):
            return in_list(value, quote)
        return literal(value, quote)

    text = PLACEHOLDER.sub(form, sql)
    if rest:
        raise StatementError(f"{len(rest)} values have no placeholder")
    return text


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
