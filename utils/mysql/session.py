"""What a session is set to, whatever the server, its init_connect or a gateway make it."""

from functools import cache

from conf.current import settings
from utils.log import logger

# Known to MySQL and MariaDB, and unlike the others that both know, it tells one emoji from another.
NAMES = "NAMES utf8mb4 COLLATE utf8mb4_unicode_520_ci"


def variables(is_mariadb: bool, statement_timeout: float | None) -> dict[str, str]:
    """Return the assignments by the name of what they set.

    None is no limit. With one comes a limit for locks: MySQL's ends SELECTs alone, and an UPDATE
    that was given up would wait for its row up to 50 s, for its table up to a year, and be done.
    """
    limit, wait = statement_timeout or 0.0, settings.mysql.lock_wait
    values = {
        "autocommit": "1",
        "time_zone": "'+00:00'",
        # Strict; MariaDB's ONLY_FULL_GROUP_BY would refuse to group by a primary key.
        "sql_mode": "'TRADITIONAL'" if is_mariadb else "'TRADITIONAL,ONLY_FULL_GROUP_BY'",
    }
    if is_mariadb:
        values["max_statement_time"] = f"{limit:f}"
    else:
        values["max_execution_time"] = f"{limit * 1000:.0f}"
    if limit:
        values |= {"lock_wait_timeout": f"{wait}", "innodb_lock_wait_timeout": f"{wait}"}
    return {"NAMES": NAMES} | {name: f"{name} = {value}" for name, value in values.items()}


@cache
def warn_once(name: str) -> None:
    logger.warning("MySQL: this server cannot tell or set %s, and is used without it", name)
