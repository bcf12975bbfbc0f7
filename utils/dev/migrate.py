"""`sh run.sh migrate` on the MariaDB of the `sh run.sh dev` that runs."""

import os
import sys

from dotenv import dotenv_values

from conf import ROOT
from utils.dev import ENV
from utils.dev.lock import is_running


def main() -> None:
    """Call run.sh anew, with dev's settings."""
    if not is_running():
        raise SystemExit("MYSQL_HOST is not set, and sh run.sh dev is not running")
    print("MYSQL_HOST is not set: this is the MariaDB of sh run.sh dev", file=sys.stderr)
    settings = {name: value or "" for name, value in dotenv_values(ENV, interpolate=False).items()}
    command = ["sh", str(ROOT / "run.sh"), "migrate", *sys.argv[1:]]
    os.execvpe("sh", command, {**os.environ, **settings})  # noqa: S606


if __name__ == "__main__":
    main()
