"""`sh run.sh dev`: the service with servers of its own in .dev, reloaded at every save."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from shlex import quote

from conf import ROOT
from conf.envfile import read_env_file
from utils.dev.commands import ensure_installed, which
from utils.dev.servers import LocalServer, MariaDB, MySQL, Redis
from utils.dev.service import Service, modified_times
from utils.files import make_folder, write_file
from utils.serve import locks

DEV = ROOT / ".dev"
POLL = 0.3  # seconds


def lock() -> None:
    """Lock .dev for as long as this process lives; run.sh looks at the lock too."""
    try:
        make_folder(DEV, 0o700)
        DEV.chmod(0o700)
        locks.hold(DEV / "lock", fcntl.LOCK_EX)
    except BlockingIOError:
        raise SystemExit("sh run.sh dev is running here already") from None
    except OSError as error:
        raise SystemExit(f"cannot use {DEV}: {error.strerror}") from None


def configured(*names: str) -> bool:
    """Return whether one of them is given; a fault in .env is told by the service itself."""
    given = {**read_env_file().values, **os.environ}
    return any(given.get(name) for name in names)


def has_server(prefix: str) -> bool:
    """Return whether the settings with this prefix lead to a server."""
    names = ("HOST", "URL", "URL_FILE", "SENTINELS")
    return configured(*(f"{prefix}_{name}" for name in names))


def environment() -> dict[str, str]:
    """Return the service's environment, but for its servers."""
    arguments = os.environ.get("GUNICORN_CMD_ARGS", "")
    return {
        **os.environ,
        **({} if configured("WORKERS") else {"WORKERS": "1"}),
        "LOG_DIR": "-",
        "RUN_DIR": str(DEV / "run"),
        "GUNICORN_CMD_ARGS": f"--log-level warning {arguments}",
        # Of two saves within a second, Python may take the first one's bytecode.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def start_servers(stack: ExitStack) -> list[LocalServer]:
    """Start the servers that are not configured, which end with the stack.

    Until then .dev/env holds the settings that lead to them, for `sh run.sh migrate`.
    """
    database = MySQL if which("mysqld") and not which("mariadbd") else MariaDB
    needed = [cls for cls in (database, Redis) if not has_server(cls.prefix)]
    ensure_installed(*(program for cls in needed for program in cls.programs))
    running: list[LocalServer] = [cls(DEV / cls.__name__.lower()) for cls in needed]
    lines = ""
    for server in running:
        stack.callback(server.stop)
        server.start()
        lines += "".join(f"{quote(f'{name}={value}')}\n" for name, value in server.env().items())
        name = type(server).__name__
        print(f"{name} is up at 127.0.0.1:{server.port}; log in with\n{server.login()}")
    stack.callback((DEV / "env").unlink, missing_ok=True)
    write_file(DEV / "env", lines)
    return running


def migrate(env: dict[str, str]) -> None:
    """Apply what is pending to the server of our own; any other one is not ours to change."""
    if not has_server("MYSQL"):
        command = ["sh", "run.sh", "migrate"]
        subprocess.run(command, cwd=ROOT, env=env, check=False, start_new_session=True)


def watch(service: Service, running: list[LocalServer], stopping: list[int]) -> None:
    """Start the service, and reload it whenever a file has changed, until a signal comes."""
    before, due = modified_times(), True
    while not stopping:
        for server in running:
            if server.process and server.process.poll() is not None:
                raise SystemExit(f"{server.programs[0]} has ended: see {server.folder}/server.log")
        service.report()
        now = modified_times()
        changed = {path for path, _ in before.items() ^ now.items()}
        before = now
        if any(path.suffix == ".sql" for path in changed):
            migrate(service.env)
        due = (due or bool(changed)) and not service.start_or_reload()
        time.sleep(POLL)


def main() -> None:
    """Run all until INT, TERM or HUP."""
    os.umask(0o077)  # for .dev and all that is started here
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: stopping.append(number))
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    lock()
    with ExitStack() as stack:
        service, running = Service(environment()), start_servers(stack)
        for server in running:
            service.env.update(server.env())
        stack.callback(service.stop)
        migrate(service.env)
        watch(service, running, stopping)
    print("all has stopped")


if __name__ == "__main__":
    main()
