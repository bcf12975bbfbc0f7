"""The programs that the tests need; `python -m tests.support.programs` looks for all of them."""

from utils.dev.commands import ensure_installed

PROGRAMS = (
    "mariadbd",
    "mariadb-install-db",
    "redis-server",
    "busybox",  # its shell runs run.sh
    "dash",  # as this one does
    "openssl",  # makes certificates
    "nginx",  # stands in front of a Unix socket
    "curl",  # what `start` prints is run as it stands
    "logrotate",  # rotates the logs of a service that runs
)


def need(*programs: str) -> None:
    """Ensure that these programs are installed, or end the tests: each one would say the same."""
    try:
        ensure_installed(*programs)
    except SystemExit as missing:
        import pytest  # noqa: PLC0415  it is not installed yet when run.sh calls this module

        pytest.exit(str(missing), returncode=1)


if __name__ == "__main__":
    ensure_installed(*PROGRAMS)
