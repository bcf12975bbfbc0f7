"""The master process: gunicorn's, with a reload and a stop that lose no request."""

import gc
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import gunicorn.arbiter
from gunicorn.errors import HaltServer
from gunicorn.sock import close_sockets

from conf.current import settings
from utils.files import write_file
from utils.log import bound_console
from utils.serve import loading, state
from utils.serve.worker import Stage

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Arbiter(gunicorn.arbiter.Arbiter):
    """gunicorn's master, which retires workers only once their successors serve.

    It keeps RUN_DIR/state up to date while it serves.
    """

    started = reloads = 0
    published = ""
    stop_signal = 0
    stopping = False
    LISTENERS: list[Any]
    WORKERS: dict[int, Any]

    def handle_hup(self) -> None:
        """Reload, unless the new code or settings do not load: gunicorn would stop (#2595)."""
        if reason := loading.fault(self.timeout, lambda: bool(self.stop_signal)):
            *trace, last = reason.split("\n")
            self.log.error("reload refused: %s", last.strip(), extra={"trace": "\n".join(trace)})
            self.write("refused", reason)
        elif not self.stop_signal:
            self.reloads += 1
            self.reload()

    def reload(self) -> None:
        """Replace the workers by new ones, with the code and the settings of now.

        gunicorn's own gives up the present address for a new one, which may be taken, and waits
        for the requests of the old workers.
        """
        self.app.reload()
        self.setup(self.app)
        if self.cfg.address != [listener.cfg_addr for listener in self.LISTENERS]:
            self.log.warning("a new address needs a restart: %s", self.cfg.bind)
        self.log.reopen_files()
        self.cfg.on_reload(self)
        for _ in range(self.num_workers):
            self.spawn_worker()
        self.manage_workers()

    def manage_workers(self) -> None:
        """Start missing workers, and retire surplus ones once their successors serve."""
        for _ in range(self.num_workers - len(self.active())):
            self.spawn_worker()
        self.await_stage(self.active(), Stage.SERVING)
        surplus = self.active()[: -self.num_workers]
        for worker in surplus:
            worker.stage = Stage.RETIRING
            self.kill_worker(worker.pid, signal.SIGTERM)
        self.await_stage(surplus, Stage.DRAINING)
        self.publish()
        bound_console()

    def active(self) -> list[Any]:
        """Return the workers that are to serve, the oldest first."""
        workers = [worker for worker in self.WORKERS.values() if worker.stage < Stage.RETIRING]
        return sorted(workers, key=lambda worker: worker.age)

    def await_stage(self, workers: list[Any], stage: Stage) -> None:
        """Wait until these workers, but for those that died, are as far as that."""
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline and any(
            worker.stage < stage for worker in workers if worker.pid in self.WORKERS
        ):
            self.reap_workers()
            time.sleep(0.01)

    def publish(self) -> None:
        """Write the state file when the state has changed."""
        text = state.as_text(
            name=self.cfg.proc_name,
            pid=self.pid,
            started=self.started,
            reloads=self.reloads,
            address=state.client_address(str(self.LISTENERS[0])),
            workers=" ".join(str(w.pid) for w in self.active() if w.stage == Stage.SERVING),
        )
        if text != self.published and self.write("state", text):
            self.published = text

    def write(self, name: str, text: str) -> bool:
        """Write a file of RUN_DIR, whole or not at all."""
        path = Path(settings.run_dir, name)
        try:
            write_file(path, text)
        except OSError:
            self.log.exception("cannot write %s", path)
            return False
        return True

    def reap_workers(self) -> None:
        """Reap dead workers, and act on a stop signal: every wait loop of the master calls this."""
        if self.stop_signal and not self.stopping:
            getattr(self, f"handle_{self.SIG_NAMES[self.stop_signal]}")()
        if self.stopping:
            self.stop_booting()
        try:
            super().reap_workers()
        except HaltServer:  # a worker could not boot: that stops the service, but only once
            if not self.stopping:
                raise

    def stop_booting(self) -> None:
        """Signal booting workers once more: after the fork a signal is lost for a while (#1910)."""
        for worker in [*self.WORKERS.values()]:
            if worker.stage == Stage.BOOTING:
                self.kill_worker(worker.pid, signal.SIGTERM)

    def signal(self, sig: int, frame: Any) -> None:
        super().signal(sig, frame)
        if sig in STOP_SIGNALS:
            self.stop_signal = sig

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers; nothing serves from now on."""
        self.stopping = True
        Path(settings.run_dir, "state").unlink(missing_ok=True)
        with suppress(FileNotFoundError):  # somebody removed the Unix socket
            close_sockets(self.LISTENERS)
        self.LISTENERS = []
        super().stop(graceful)
        gc.freeze()  # for a faster end: nothing needs Python's last collection


def install(server: gunicorn.arbiter.Arbiter) -> None:
    """Make gunicorn's master ours; gunicorn has no setting for the class of its arbiter."""
    server.__class__ = Arbiter
    server.started = int(time.time())
