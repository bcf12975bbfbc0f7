"""Clones of the project, in which the README's instructions are followed."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import OWN, ROOT

NOT_CLONED = (".git", ".venv*", ".dev", ".*_cache", ".hypothesis", "__pycache__", ".env")


class Clone:
    """A copy of the whole project as git would make it, tests and all, without its .git."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "clone"
        shutil.copytree(ROOT, self.root, ignore=self.ignore)
        self.env = {name: os.environ[name] for name in os.environ if not name.startswith(OWN)}
        self.env |= {"VENV": sys.prefix, "LOG_DIR": str(folder / "logs")}
        del self.env["SERVICE_NAME"]  # a clone may have another one

    def ignore(self, folder: str, names: list[str]) -> set[str]:
        ignored = shutil.ignore_patterns(*NOT_CLONED)(folder, names)
        return ignored | ({"run", "logs"} if Path(folder) == ROOT else set())

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    def sh(self, command: str) -> str:
        """Run a command in the clone, and return what it printed; it has to succeed."""
        done = subprocess.run(
            command, shell=True, cwd=self.root, env=self.env, text=True, capture_output=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout


@pytest.fixture
def clone() -> Iterator[Clone]:
    """A clone whose user begins to make a service of it."""
    folder = Path(tempfile.mkdtemp(prefix="pyserver clone ", dir="/tmp"))
    yield Clone(folder)
    shutil.rmtree(folder)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    if exitstatus:
        terminalreporter.write_line(
            "tests/template guards the template itself; in a service of your own: "
            "rm -r tests/template"
        )
