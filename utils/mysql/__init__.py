"""MySQL: statements that are never lost, doubled or mixed."""

from utils.mysql.errors import DuplicateKeyError, RetryableError, StatementError
from utils.mysql.execute import Result
from utils.mysql.queries import Transaction, mysql

__all__ = [
    "DuplicateKeyError",
    "Result",
    "RetryableError",
    "StatementError",
    "Transaction",
    "mysql",
]
