"""MySQL: statements that are never lost, doubled or mixed."""

from utils.mysql.queries import mysql

__all__ = ["mysql"]
