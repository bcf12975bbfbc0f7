"""The master process: gunicorn's, with a reload that cannot take the service down."""

import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gunicorn.arbiter
from gunicorn.errors import HaltServer

from conf.current import settings
from utils.serve.state import State, client_address
from utils.serve.worker import Stage


class Arbiter(gunicorn.arbiter.Arbiter):  # type: ignore[misc]
    """gunicorn's master, which retires workers only once their successors serve.

    It keeps RUN_DIR/state up to date while it serves.
    """

    started = reloads = 0
    state: State | None = None
    stopping = False

    def handle_hup(self) -> None:
        """Reload, unless the new code or settings do not load: gunicorn would stop (#2595)."""
        command = [sys.executable, "-m", "gunicorn", "--check-config", *sys.argv[1:]]
        try:
            subprocess.run(
                command, check=True, stderr=subprocess.PIPE, text=True, timeout=self.timeout
            )
        except subprocess.SubprocessError as error:
            reason = f"{error}\n{getattr(error, 'stderr', '')}"
            self.log.error("reload refused: %s", reason)
            self.write("refused", reason)
        else:
            self.reloads += 1
            super().handle_hup()

    def manage_workers(self) -> None:
        """Start missing workers, and retire surplus ones once their successors serve."""
        if len(self.WORKERS) < self.num_workers:
            self.spawn_workers()
        self.await_stage(self.WORKERS.values(), Stage.SERVING)
        surplus = self.by_age()[: -self.num_workers]
        super().manage_workers()
        self.await_stage(surplus, Stage.RETIRED)
        self.publish()

    def await_stage(self, workers: Iterable[Any], stage: Stage) -> None:
        """Wait until these workers, but for those that died, are as far as that."""
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline and any(
            worker.stage < stage for worker in workers if worker.pid in self.WORKERS
        ):
            self.reap_workers()
            time.sleep(0.01)

    def by_age(self) -> list[Any]:
        """Return the workers, the oldest first."""
        return sorted(self.WORKERS.values(), key=lambda worker: worker.age)

    def publish(self) -> None:
        """Write the state file when the state has changed."""
        newest = self.by_age()[-self.num_workers :]
        state = State(
            pid=self.pid,
            started=self.started,
            reloads=self.reloads,
            address=client_address(str(self.LISTENERS[0])),
            workers=tuple(worker.pid for worker in newest if worker.stage == Stage.SERVING),
        )
        if state != self.state and self.write("state", str(state)):
            self.state = state

    def write(self, name: str, text: str) -> bool:
        """Write a file of RUN_DIR, whole or not at all."""
        path = Path(settings.run_dir, name)
        try:
            path.with_suffix(".new").write_text(text)
            path.with_suffix(".new").rename(path)
        except OSError:
            self.log.exception("cannot write %s", path)
            return False
        return True

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers; nothing serves from now on."""
        self.stopping = True
        Path(settings.run_dir, "state").unlink(missing_ok=True)
        super().stop(graceful)

    def reap_workers(self) -> None:
        """Bury workers that died; one that could not boot stops the service, but only once."""
        try:
            super().reap_workers()
        except HaltServer:
            if not self.stopping:
                raise


def promote(server: gunicorn.arbiter.Arbiter) -> None:
    """Make gunicorn's master ours; gunicorn has no setting for the class of its arbiter."""
    server.__class__ = Arbiter
    server.started = int(time.time())
