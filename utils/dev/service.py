"""The service as a child of `sh run.sh dev`, and the files that it is made of."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from conf import ROOT
from utils.dev.commands import spawn
from utils.files import make_folder
from utils.serve import state

STOP_TIMEOUT = 5.0  # seconds that requests in flight get
SKIPPED = ("tests", "logs", "run", "venv", "__pycache__")  # and all whose names begin with a dot
# Not from conf.current, which exits at a wrong setting: dev waits until it is fixed.
ENV_FILE = Path(os.environ.get("ENV_FILE", ROOT / ".env"))


class Service:
    """The service, in the foreground and with its log on the terminal."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env
        self.run_dir = Path(env["RUN_DIR"])
        self.process: subprocess.Popen[bytes] | None = None
        self.shown: tuple[str, str] | None = None  # when it started, how often it was reloaded

    def start_or_reload(self) -> bool:
        """Take the files as they are now; return whether that could be done yet."""
        if self.process is None:
            self.shown = None
            make_folder(self.run_dir)
            (self.run_dir / "state").unlink(missing_ok=True)
            command = ["sh", "run.sh", "run"]
            self.process = spawn(command, self.run_dir / "dev.pid", cwd=ROOT, env=self.env)
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
            print("the service does not run; the next save starts it again")
        now = state.read(self.run_dir)
        if now and (now["started"], now["reloads"]) != self.shown:
            self.shown = (now["started"], now["reloads"])
            print(f"{now['name']} has reloaded" if now["reloads"] > "0" else state.welcome(now))

    def stop(self) -> None:
        """Stop it, and return when all its processes are gone."""
        if self.process is None:
            return
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_TIMEOUT)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def modified_times() -> dict[Path, int]:
    """Return when each file was changed: 80 files take a millisecond to look at."""
    paths = [ENV_FILE]
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name[0] != "." and name not in SKIPPED]
        paths += [Path(folder, name) for name in names if name.endswith((".py", ".sql"))]
    times = {}
    for path in paths:
        with suppress(OSError):  # an editor may be replacing it
            times[path] = path.stat().st_mtime_ns
    return times
