"""The locks by which run.sh knows a master, a user of an environment, and itself."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.service import wait_until
from utils.serve.locks import gone, holder

LOCKS = ("-m", "utils.serve.locks")


@pytest.fixture
def execute(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Call `locks.py master` with the folder as RUN_DIR and as environment."""
    (tmp_path / "installed").touch()
    made: list[subprocess.Popen[str]] = []

    def call(*command: str) -> "subprocess.Popen[str]":
        made.append(
            subprocess.Popen(
                [sys.executable, *LOCKS, "master", str(tmp_path), str(tmp_path), *command],
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return made[-1]

    yield call
    for process in made:
        process.kill()
        process.communicate()


def test_the_holder_is_known_until_it_ends_however_it_ends(
    tmp_path: Path, execute: Callable[..., "subprocess.Popen[str]"]
) -> None:
    file = tmp_path / "master"
    assert holder(file) == 0
    process = execute("sleep", "600")
    wait_until(lambda: holder(tmp_path / "installed"))
    assert holder(file) == holder(tmp_path / "installed") == process.pid
    assert not gone(file, 0)
    process.send_signal(signal.SIGKILL)
    assert gone(file, 60)
    assert holder(file) == 0


def test_a_second_master_is_refused_and_touches_nothing(
    tmp_path: Path, execute: Callable[..., "subprocess.Popen[str]"]
) -> None:
    first = execute("sleep", "600")
    wait_until(lambda: holder(tmp_path / "master"))
    (tmp_path / "state").write_text("mine")
    second = execute("sleep", "600")
    assert second.wait(60) == 1
    assert second.stderr
    assert second.stderr.read() == f"run.sh: it is already running (pid {first.pid})\n"
    assert (tmp_path / "state").read_text() == "mine"


def test_a_child_of_the_master_does_not_hold_its_lock(
    tmp_path: Path, execute: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = execute("sh", "-c", f"sleep 600 & echo $! >'{tmp_path}/child'; wait")
    child = int(
        wait_until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
    )
    process.kill()
    assert gone(tmp_path / "master", 60)
    os.kill(child, signal.SIGKILL)


def test_a_new_master_removes_what_a_killed_one_left(
    tmp_path: Path, execute: Callable[..., "subprocess.Popen[str]"]
) -> None:
    for name in ("pid", "state", "refused", "supervisor"):
        (tmp_path / name).touch()
    execute("sleep", "600")
    wait_until(lambda: (tmp_path / "environment").exists() and not (tmp_path / "state").exists())
    assert {path.name for path in tmp_path.iterdir()} == {"installed", "master", "environment"}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "installed").touch()
    done = subprocess.run(
        [sys.executable, *LOCKS, "master", str(tmp_path / "installed/run"), str(tmp_path), "true"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"run.sh: cannot write to {tmp_path / 'installed/run'}: Not a directory\n"
    )
