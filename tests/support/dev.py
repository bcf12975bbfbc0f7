"""A `sh run.sh dev` in a copy of the project."""

import signal
import subprocess

from tests.support.processes import processes_in
from tests.support.service import Service, wait_until


class Dev:
    """A `sh run.sh dev`, and what it prints."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.file = service.folder / "terminal"
        with self.file.open("w") as file:
            self.process = subprocess.Popen(
                ["sh", "run.sh", "dev"],
                cwd=service.root,
                env=service.env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def await_line(self, words: str, times: int = 1) -> None:
        """Wait until it has printed that so often."""
        try:
            wait_until(lambda: self.printed().count(words) >= times, seconds=60)
        except AssertionError:
            raise AssertionError(f"{words!r} is not in:\n{self.printed()}") from None

    def printed(self) -> str:
        return self.file.read_text()

    def command_after(self, words: str) -> str:
        """Return the line that it printed after the one with these words."""
        return self.printed().split(words)[1].splitlines()[1]

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop it as a person would, and check that nothing is left."""
        self.process.send_signal(number)
        assert self.process.wait(60) == 0, self.printed()
        assert processes_in(self.service.root) == {}
