"""The schema: `sh run.sh migrate` applies the files of conf/migrations/ that are pending.

`0001_create_orders.sql` is a migration; each is applied once, in the order of the numbers.
docs/mysql.md says what is all or nothing.
"""

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()  # the limit for a login is a timeout of gevent's

import argparse
import signal

import gevent

from conf.current import settings
from utils.mysql.apply import Migration
from utils.mysql.connection import Connection
from utils.mysql.login import options
from utils.mysql.schema import MIGRATE_ERRORS, MigrationError, applied, checksum, known, pending
from utils.text import escape_unprintable

TABLE = """CREATE TABLE IF NOT EXISTS migrations (
    number SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    checksum CHAR(64) NOT NULL,
    applied DATETIME(3) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4"""


def lock(connection: Connection, seconds: float) -> None:
    """Keep other hosts out; the server lets them in when this connection ends."""
    connection.rows("SET wait_timeout = 31536000")  # it idles while the migrations run
    name = f"migrations of {settings.mysql.database}"[:64]
    if not connection.rows("SELECT GET_LOCK(%s, %s) AS got", name, seconds)[0]["got"]:
        raise MigrationError(f"another migrate is still at work after {seconds:g} s")


def migrate(wait: float) -> None:
    """Apply what is pending, one `migrate` at a time, and print a line for each."""
    texts = known()
    connection = Connection(**options())
    lock(connection, wait)
    connection.rows(TABLE)
    names = pending(texts, applied(connection.rows))
    todo = [Migration(name, texts[name], checksum(texts[name])) for name in names]
    for migration in todo:
        migration.apply(wait)
        print(f"applied {migration.name}", flush=True)
    if not todo:
        print("the schema is up to date")


def status() -> None:
    """Print each migration with the time it was applied, or as pending."""
    texts, done = known(), applied(Connection(**options()).rows)
    for name in sorted({*texts, *done}):
        when = f"{done[name]['applied']:%Y-%m-%d %H:%M:%S} UTC" if name in done else "pending"
        print(escape_unprintable(f"{when} {name}"))  # who writes to the table may be anybody
    pending(texts, done)


def main() -> None:
    parser = argparse.ArgumentParser(prog="sh run.sh migrate")
    parser.add_argument("verb", nargs="?", choices=["status"])
    wait = "seconds to wait for another one, or for a lock"
    parser.add_argument("--wait", type=float, default=60, help=wait)
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # Python's own would be printed by gevent
        interrupt = KeyboardInterrupt("interrupted")
        gevent.signal_handler(number, gevent.kill, gevent.getcurrent(), interrupt)
    try:
        if arguments.verb == "status":
            status()
        else:
            migrate(arguments.wait)
    except (*MIGRATE_ERRORS, KeyboardInterrupt) as error:
        raise SystemExit(escape_unprintable(f"migrate: {error}")) from None
    except Exception as error:  # a fault of ours; an operator is no better off with a traceback
        message = f"migrate: {type(error).__name__}: {error}"
        raise SystemExit(escape_unprintable(message)) from None


if __name__ == "__main__":
    main()
