"""What a session is set to, whatever the server, its init_connect or a gateway make it."""

import math
from functools import cache

from conf.current import settings
from utils.log import logger

# The database's, for a column cannot be compared with a CAST of another collation.
COLLATION = (
    "IF(@@character_set_database = 'utf8mb4', @@collation_database, 'utf8mb4_unicode_520_ci')"
)


def limit_of(is_mariadb: bool, seconds: float) -> str:
    """Return the assignment that limits statements; to the servers, 0 is no limit."""
    milliseconds = 0 if seconds == math.inf else max(1, round(seconds * 1000))
    if is_mariadb:
        return f"max_statement_time = {milliseconds / 1000}"
    return f"max_execution_time = {milliseconds}"


def variables(is_mariadb: bool, statement_timeout: float) -> dict[str, str]:
    """Return the assignments by the name of what they set.

    With a limit for statements comes one for locks: MySQL's own ends SELECTs alone, and an UPDATE
    that was given up would wait for its row up to 50 s, for its table up to a year, and be done.
    """
    wait, limit = settings.mysql.lock_wait, limit_of(is_mariadb, statement_timeout)
    values = {
        "collation_connection": COLLATION,
        "autocommit": "1",
        "time_zone": "'+00:00'",
        # Strict; MariaDB's ONLY_FULL_GROUP_BY would refuse to group by a primary key.
        "sql_mode": "'TRADITIONAL'" if is_mariadb else "'TRADITIONAL,ONLY_FULL_GROUP_BY'",
    }
    if statement_timeout < math.inf:
        values |= {"lock_wait_timeout": f"{wait}", "innodb_lock_wait_timeout": f"{wait}"}
    assignments = ["NAMES utf8mb4", limit, *(f"{name} = {value}" for name, value in values.items())]
    return {assignment.split()[0]: assignment for assignment in assignments}


@cache
def warn_once(name: str) -> None:
    logger.warning("MySQL: this server cannot tell or set %s, and is used without it", name)
