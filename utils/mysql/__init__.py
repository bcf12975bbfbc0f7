"""MySQL: statements that are never lost, doubled or mixed."""

from utils.mysql.errors import DuplicateKeyError, RetryableError, StatementError
from utils.mysql.execute import Result
from utils.mysql.queries import Transaction, mysql
from utils.mysql.rows import RowError
from utils.mysql.schema import warn_if_behind
from utils.mysql.values import Json

__all__ = [
    "DuplicateKeyError",
    "Json",
    "Result",
    "RetryableError",
    "RowError",
    "StatementError",
    "Transaction",
    "mysql",
    "warn_if_behind",
]
