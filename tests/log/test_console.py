"""console.log, the stdout of a service that was started, has a bounded size."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.service import ROOT
from utils.log.configure import CONSOLE_LIMIT as LIMIT


def bound(stdout: Path, console: Path | None) -> None:
    """Bound the console of a process whose stdout is a file."""
    env = dict(os.environ) if console is None else {**os.environ, "CONSOLE": str(console)}
    code = "from utils.log import bound_console; bound_console(); print('after', flush=True)"
    with stdout.open("ab") as file:
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, stdout=file, check=True)


def large(path: Path, size: int = LIMIT) -> Path:
    path.write_bytes(b"x" * size)
    return path


def test_a_large_one_is_put_aside_and_written_from_its_start(tmp_path: Path) -> None:
    console = large(tmp_path / "console.log")
    bound(console, console)
    assert console.read_bytes() == b"after\n"
    assert (tmp_path / "console.log.1").read_bytes() == b"x" * LIMIT


def test_a_small_one_is_left_alone(tmp_path: Path) -> None:
    console = large(tmp_path / "console.log", LIMIT - 1)
    bound(console, console)
    assert console.read_bytes() == b"x" * (LIMIT - 1) + b"after\n"


def test_a_file_that_somebody_else_sent_stdout_to_is_left_alone(tmp_path: Path) -> None:
    mine = large(tmp_path / "mine")
    bound(mine, None)
    assert mine.stat().st_size == LIMIT + len("after\n")


def test_the_successor_of_one_that_was_renamed_is_left_alone(tmp_path: Path) -> None:
    renamed = large(tmp_path / "console.log.old")
    console = tmp_path / "console.log"
    console.write_text("new")
    bound(renamed, console)
    assert console.read_text() == "new"
    assert renamed.stat().st_size == LIMIT + len("after\n")


def test_what_stands_in_the_way_is_replaced_and_not_followed(tmp_path: Path) -> None:
    console = large(tmp_path / "console.log")
    console.chmod(0o644)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "console.log.1").symlink_to(victim)
    bound(console, console)
    assert victim.read_text() == "precious"
    assert (tmp_path / "console.log.1").stat().st_size == LIMIT
    modes = [path.stat().st_mode & 0o777 for path in (console, tmp_path / "console.log.1")]
    assert modes == [0o640, 0o640]


def test_a_link_is_not_put_aside(tmp_path: Path) -> None:
    victim = large(tmp_path / "victim")
    (tmp_path / "console.log").symlink_to(victim)
    bound(victim, tmp_path / "console.log")
    assert victim.stat().st_size == LIMIT + len("after\n")
    assert not (tmp_path / "console.log.1").exists()
