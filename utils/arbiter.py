"""The master process: gunicorn's, with a reload that cannot take the service down."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gunicorn.arbiter

from conf.settings import settings


class Arbiter(gunicorn.arbiter.Arbiter):  # type: ignore[misc]
    """gunicorn's master, which retires workers only once their successors serve.

    It keeps RUN_DIR/state, one line for run.sh: the second it started, how often it was
    reloaded, the address, and the pids of the workers that serve.
    """

    started = 0
    state = ""

    def handle_hup(self) -> None:
        """Reload, unless the new code or settings do not load: gunicorn would stop (#2595)."""
        command = [sys.executable, "-m", "gunicorn", "--check-config", *sys.argv[1:]]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=self.timeout)  # noqa: S603
        except subprocess.SubprocessError as error:
            output = getattr(error, "stderr", None) or b""
            self.log.error("reload refused: %s\n%s", error, output.decode(errors="replace"))
        else:
            super().handle_hup()

    def manage_workers(self) -> None:
        """Start missing workers, wait until all serve, then retire surplus ones."""
        if len(self.WORKERS) < self.num_workers:
            self.spawn_workers()
        deadline = time.monotonic() + self.timeout
        while not self.all_serve() and time.monotonic() < deadline:
            self.reap_workers()
            time.sleep(0.02)
        super().manage_workers()
        self.publish()

    def all_serve(self) -> bool:
        """Tell whether every worker has come as far as its main loop."""
        return all(serves(worker) for worker in self.WORKERS.values())

    def publish(self) -> None:
        """Write the state file when the state has changed."""
        newest = sorted(self.WORKERS.values(), key=lambda worker: worker.age)[-self.num_workers :]
        pids = " ".join(str(worker.pid) for worker in newest if serves(worker))
        address = ",".join(str(listener) for listener in self.LISTENERS)
        state = f"{self.started} {self._stats['reloads']} {address} {pids}\n"
        if state == self.state:
            return
        path = Path(settings.run_dir, "state")
        try:
            path.with_suffix(".new").write_text(state)
            path.with_suffix(".new").rename(path)
            self.state = state
        except OSError:
            self.log.exception("cannot write %s", path)

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers; nothing serves from now on."""
        Path(settings.run_dir, "state").unlink(missing_ok=True)
        super().stop(graceful)


def serves(worker: Any) -> bool:
    """Tell whether the worker has come as far as its main loop.

    Its heartbeat file bears the wall clock's time until the main loop first touches it with
    the monotonic clock's, which is always less.
    """
    return bool(worker.tmp.last_update() <= time.monotonic())


def promote(server: gunicorn.arbiter.Arbiter) -> None:
    """Make gunicorn's master ours; gunicorn has no setting for the class of its arbiter."""
    server.__class__ = Arbiter
    server.started = int(time.time())
