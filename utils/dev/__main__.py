"""`sh run.sh dev`: the service with servers of its own in .dev, reloaded at every save."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from dotenv import dotenv_values

from utils.dev.commands import spawn
from utils.dev.servers import MariaDB, Redis
from utils.serve import state

ROOT = Path(__file__).parent.parent.parent
DEV = ROOT / ".dev"
# Not from conf: a fault there is to be shown, and waited for to be mended.
DOTENV = Path(os.environ.get("ENV_FILE", ROOT / ".env"))
SKIPPED = ("tests", "logs", "run", "__pycache__")
STOP = 5.0  # seconds that requests in flight get


def configured(name: str) -> str:
    """Return a setting as it is given, or nothing."""
    return os.environ.get(name, dotenv_values(DOTENV, interpolate=False).get(name)) or ""


class Log:
    """The service log, as it grows from now on."""

    def __init__(self) -> None:
        self.folder = ROOT / (configured("LOG_DIR") or "logs")
        self.path = self.newest()
        self.offset = self.path.stat().st_size if self.path else 0
        self.gunicorns = False

    def newest(self) -> Path | None:
        """Return today's file, if there is one."""
        return max(self.folder.glob("service-*.log"), default=None)

    def show(self) -> None:
        """Print the lines that are new; gunicorn's own are on the terminal already."""
        if (newest := self.newest()) != self.path:
            self.path, self.offset = newest, 0
        if self.path is None:
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            lines = [line for line in file if line.endswith(b"\n")]
        self.offset += sum(map(len, lines))
        for line in lines:
            if not line.startswith(b"  | "):  # as a traceback's do
                self.gunicorns = b" glogging:" in line or b'"glogging:' in line
            if not self.gunicorns:
                print(line.decode(errors="replace"), end="")


class Service:
    """The service as a process of this one, which says on the terminal how it is."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env
        self.process: subprocess.Popen[bytes] | None = None
        self.run_dir = Path(env["RUN_DIR"])
        self.shown: tuple[int, int] | None = None

    def start(self) -> None:
        """Start it, as if there had been none before."""
        self.shown = None
        self.run_dir.mkdir(exist_ok=True)
        (self.run_dir / "state").unlink(missing_ok=True)
        self.process = spawn(["sh", "run.sh", "run"], DEV / "pid", cwd=ROOT, env=self.env)

    def renew(self) -> bool:
        """Start it or have it reload; tell whether that could be done now."""
        if self.process is None:
            self.start()
        elif self.shown:  # before it serves, a HUP would end it
            self.process.send_signal(signal.SIGHUP)
        else:
            return False
        return True

    def report(self) -> None:
        """Print that it serves, has reloaded or has ended, once each."""
        if self.process is None:
            return
        if self.process.poll() is not None:
            self.process = None
            print("pyserver does not run; the next save starts it again")
        now = state.read(self.run_dir)
        if now and (now.started, now.reloads) != self.shown:
            self.shown = (now.started, now.reloads)
            print("pyserver has reloaded" if now.reloads else now.welcome())

    def stop(self) -> None:
        """Stop it, and return when all its processes are gone."""
        if self.process:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP)
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def files() -> dict[Path, int]:
    """Return the files that the service is made of, and when they were changed."""
    paths = [DOTENV]
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in SKIPPED
            and not Path(folder, name, "pyvenv.cfg").exists()
        ]
        paths += [Path(folder, name) for name in names if name.endswith((".py", ".sql"))]
    found = {}
    for path in paths:
        with suppress(OSError):  # an editor may be replacing it
            found[path] = path.stat().st_mtime_ns
    return found


def environment() -> dict[str, str]:
    """Return the environment of the service, but for its servers."""
    arguments = os.environ.get("GUNICORN_CMD_ARGS", "")
    return {
        **os.environ,
        **({} if configured("WORKERS") else {"WORKERS": "1"}),
        "RUN_DIR": str(DEV / "run"),
        "GUNICORN_CMD_ARGS": f"--log-level warning {arguments}",
        # Of two saves within a second, Python may take the first one's bytecode.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def start_servers(stack: ExitStack) -> dict[str, str]:
    """Start the servers that are not configured, and return the settings that lead to them."""
    settings = {}
    for cls, name in ((MariaDB, "MYSQL_HOST"), (Redis, "REDIS_HOST")):
        if not configured(name):
            server = cls(DEV / cls.__name__.lower())
            stack.callback(server.stop)
            server.start()
            settings.update(server.env())
            print(f"{cls.__name__} is up at 127.0.0.1:{server.port}")
    return settings


def migrate(env: dict[str, str]) -> None:
    """Apply what is pending to the MariaDB of our own; any other one is not ours to change."""
    if not configured("MYSQL_HOST"):
        command = [sys.executable, "-m", "utils.mysql.migrations"]
        subprocess.run(command, cwd=ROOT, env=env, check=False, start_new_session=True)


def watch(service: Service, log: Log, stopping: list[int]) -> None:
    """Renew the service whenever a file has changed, until a signal comes."""
    seen, due = files(), True
    while not stopping:
        log.show()
        service.report()
        now = files()
        changed = {path for path, _ in now.items() ^ seen.items()}
        if any(path.suffix == ".sql" for path in changed):
            migrate(service.env)
        due = (due or bool(changed)) and not service.renew()
        seen = now
        time.sleep(0.3)


def main() -> None:
    """Run all until INT, TERM or HUP."""
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: stopping.append(number))
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    DEV.mkdir(exist_ok=True)
    with (DEV / "lock").open("w") as lock, ExitStack() as stack:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("sh run.sh dev is running here already") from None
        service = Service({**environment(), **start_servers(stack)})
        stack.callback(service.stop)
        migrate(service.env)
        watch(service, Log(), stopping)
    print("all has stopped")


if __name__ == "__main__":
    main()
