"""A log that cannot be written costs lines, not requests: they are counted, and told once."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.logs import record
from utils.log import handler
from utils.log.daily import DailyFile
from utils.log.line import LineFormatter


@pytest.fixture(autouse=True)
def _not_complained_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler.LineHandler, "complained", -handler.QUIET)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[DailyFile]:
    made = DailyFile(tmp_path / "logs", "service", keep_days=7)
    made.setFormatter(LineFormatter())
    yield made
    made.close()


def break_it(file: DailyFile) -> None:
    """Put a folder where the file would be; root may write to whatever else there is."""
    file.emit(record("before"))
    file.path.unlink()
    file.path.mkdir()


def test_a_fault_does_not_reach_the_caller_and_is_told_once(
    file: DailyFile, capfd: pytest.CaptureFixture[str]
) -> None:
    break_it(file)
    for _ in range(3):
        file.emit(record("lost"))
    told = capfd.readouterr().err
    assert told == (
        f"pyserver (pid {os.getpid()}): log lines are lost: "
        f"[Errno 21] Is a directory: '{file.path}'\n"
    )


def test_the_log_tells_how_many_lines_were_lost(file: DailyFile) -> None:
    break_it(file)
    for _ in range(3):
        file.emit(record("lost"))
    file.path.rmdir()
    for _ in range(2):
        file.emit(record("after"))
    notice, *after = file.path.read_text().splitlines()
    assert " ERROR " in notice
    assert "3 log lines were lost here: [Errno 21] Is a directory" in notice
    assert [line.rsplit(" ", 1)[1] for line in after] == ["after", "after"]


def test_a_log_that_comes_and_goes_is_told_of_once_a_minute(
    file: DailyFile, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        break_it(file)
        file.emit(record("lost"))
        file.path.rmdir()
    assert capfd.readouterr().err.count("\n") == 1


def test_what_has_no_text_is_lost_without_a_traceback(
    file: DailyFile, capfd: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no text\x1b[2J\u202e\udc80")

        __str__ = __repr__

    made = record("x")
    made.msg = Broken()
    file.emit(made)
    told = f"pyserver (pid {os.getpid()}): log lines are lost: no text\\x1b[2J\\u202e\\udc80\n"
    assert capfd.readouterr().err == told


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_tears_no_line_but_the_one_it_cut(small_disk: Path) -> None:
    file = DailyFile(small_disk / "logs", "service", keep_days=7)
    file.emit(record("the first"))
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"), ballast.open("wb", 0) as filling:
        while True:
            filling.write(b"x" * 512)
    for _ in range(200):
        file.emit(record("x" * 99))
    assert file.lost > 100
    ballast.unlink()
    file.emit(record("the last"))
    file.close()
    lines = file.path.read_text().splitlines()
    assert lines[0] == "the first"
    notice = next(number for number, line in enumerate(lines) if "log lines were lost here" in line)
    whole, cut = lines[1 : notice - 1], lines[notice - 1]
    assert set(whole) == {"x" * 99}
    assert cut in {"x" * length for length in range(100)}
    assert lines[notice].startswith(f"{200 - len(whole)} log lines were lost here: [Errno 28]")
    assert lines[notice + 1 :] == ["the last"]
