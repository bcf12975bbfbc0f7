"""Log files by day: no line is lost or torn, whoever writes, rotates or deletes them."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.logs import LINE, record
from tests.support.stranger import STRANGER, as_stranger, needs_root
from utils.log.daily import DailyFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@pytest.fixture
def file(folder: Path) -> Iterator[DailyFile]:
    """A log, which `folder` holds as soon as it has a line."""
    handler = DailyFile(folder, "service", keep_days=7)
    yield handler
    handler.close()


def all_lines(folder: Path) -> list[str]:
    """Return the lines of all files, the oldest file first."""
    paths = sorted(folder.parent.rglob("service-*"), key=lambda path: path.stat().st_ino)
    return [line for path in paths for line in path.read_text().splitlines()]


def test_a_line_goes_to_the_file_of_its_day(file: DailyFile, folder: Path) -> None:
    made = record("yesterday")
    made.created -= 86400
    file.emit(made)
    file.emit(record("today"))
    yesterday, today = sorted(folder.iterdir())
    assert today.name == time.strftime("service-%Y-%m-%d.log")
    assert (yesterday.read_text(), today.read_text()) == ("yesterday\n", "today\n")


def test_only_our_user_and_group_read_the_log(file: DailyFile, folder: Path) -> None:
    file.emit(record("x"))
    modes = [path.stat().st_mode & 0o777 for path in (folder, file.path)]
    assert [mode & 0o027 for mode in modes] == [0, 0]


def rename(path: Path) -> None:
    path.rename(path.with_suffix(".old"))


def rename_and_create(path: Path) -> None:
    rename(path)
    path.touch()


def replace_the_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("old"))
    path.parent.mkdir()


def copy_and_truncate(path: Path) -> None:
    path.with_suffix(".old").write_bytes(path.read_bytes())
    os.truncate(path, 0)


def rename_the_folder(path: Path) -> None:
    rename(path.parent)


@pytest.mark.parametrize(
    "rotate",
    [rename, rename_and_create, rename_the_folder, replace_the_folder, copy_and_truncate],
)
def test_the_line_after_a_rotation_is_in_the_file_that_has_the_name(
    file: DailyFile, rotate: Callable[[Path], None]
) -> None:
    file.emit(record("one"))
    rotate(file.path)
    file.emit(record("two"))
    assert file.path.read_bytes() == b"two\n"
    (old,) = [path for path in file.folder.parent.rglob("service-*") if path != file.path]
    assert old.read_bytes() == b"one\n"


def test_a_deleted_log_is_begun_anew(file: DailyFile) -> None:
    file.emit(record("one"))
    file.path.unlink()
    file.emit(record("two"))
    assert file.path.read_text() == "two\n"


def is_open(path: Path) -> bool:
    """Return whether this process has a file open that was deleted from there."""
    links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return f"{path} (deleted)" in links


def test_reopen_closes_a_file_that_was_rotated_away(file: DailyFile) -> None:
    file.emit(record("one"))
    file.path.unlink()
    assert is_open(file.path)
    file.reopen()
    assert not is_open(file.path)


def aged(path: Path, days: int) -> Path:
    path.touch()
    os.utime(path, (time.time() - days * 86400,) * 2)
    return path


def test_old_files_are_removed(file: DailyFile, folder: Path) -> None:
    folder.mkdir()
    old = aged(folder / "service-2026-01-01.log", 8)
    young = aged(folder / "service-2026-01-02.log", 6)
    file.emit(record("x"))
    assert not old.exists()
    assert young.exists()


@pytest.mark.parametrize(
    "name",
    [
        "error-2026-01-01.log",
        "service-mesh.log",
        "service-2026-1-1.log",
        "service-2026-01-01.log.1",
        "service-2026-01-01.log.bak",
        "service-2026-11-25.log.gz",
        "service-mesh-2026-01-01.log",
        "service-2026-01-01-2.log",
        "service-2026-99-99.log",
        "service-2026-02-30.log",
        "service-\u0662\u0660\u0662\u0666-01-01.log",
        "service-2026-01-01.log\n",
        "my-service-2026-01-01.log",
        "Service-2026-01-01.log",
    ],
)
def test_files_of_others_are_not_removed(file: DailyFile, folder: Path, name: str) -> None:
    folder.mkdir()
    other = aged(folder / name, 8)
    file.emit(record("x"))
    assert other.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_files_of_other_users_are_not_removed(file: DailyFile, folder: Path) -> None:
    folder.mkdir()
    other = aged(folder / "service-2026-01-01.log", 8)
    os.chown(other, STRANGER, STRANGER)
    file.emit(record("x"))
    assert other.exists()


def test_what_is_no_file_is_not_removed(file: DailyFile, folder: Path) -> None:
    folder.mkdir()
    aged(folder / "precious", 8)
    (folder / "service-2026-01-01.log").mkdir()
    (folder / "service-2026-01-02.log").symlink_to("precious")
    os.mkfifo(folder / "service-2026-01-03.log")
    for name in ("service-2026-01-01.log", "service-2026-01-02.log", "service-2026-01-03.log"):
        os.utime(folder / name, (0, 0), follow_symlinks=False)
    before = set(folder.iterdir())
    file.emit(record("x"))
    assert set(folder.iterdir()) == before | {file.path}


def make_link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def make_pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def make_it_elsewhere(path: Path, victim: Path) -> None:
    as_stranger("import os, sys; os.umask(0); open(sys.argv[1], 'w')", str(path))


@needs_root
@pytest.mark.parametrize("plant", [make_link, make_pipe, make_it_elsewhere])
def test_a_log_that_somebody_else_put_there_gets_no_line(
    plant: Callable[[Path, Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory(prefix="pyserver-logs-", dir="/tmp") as name:
        folder, victim = Path(name) / "logs", Path(name) / "victim"
        victim.write_text("precious")
        Path(name).chmod(0o755)
        folder.mkdir()
        os.chown(folder, 0, STRANGER)  # of a group whose members may write to it
        folder.chmod(0o770)
        handler = DailyFile(folder, "service", keep_days=7)
        plant(folder / time.strftime("service-%Y-%m-%d.log"), victim)
        handler.emit(record("x"))
        assert handler.lost == 1
        assert victim.read_text() == "precious"
        handler.path.unlink()
        handler.emit(record("y"))
        assert handler.path.read_text().endswith("y\n")
        assert handler.path.stat().st_mode & 0o777 == 0o640
        handler.close()


WRITER = """
import logging, sys, time
from pathlib import Path
from utils.log.daily import DailyFile
from utils.log.line import LineFormatter
handler = DailyFile(Path(sys.argv[1]), "service", 7, period=sys.argv[3])
handler.setFormatter(LineFormatter())
logging.basicConfig(level="INFO", handlers=[handler])
for number in range(5000):
    logging.info("%s %s %s", sys.argv[2], number, "x" * (number % 500))
    time.sleep(0.0004)
"""


def write_in_four_processes(folder: Path, period: str) -> "list[subprocess.Popen[bytes]]":
    return [
        subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(number), period])
        for number in range(4)
    ]


def assert_nothing_is_lost_or_torn(lines: list[str]) -> None:
    """Check the lines of four writers: each line whole, each number once."""
    seen = set()
    for line in lines:
        assert LINE.fullmatch(line)
        writer, number, *filler = line.split()[5:]
        assert "".join(filler) == "x" * (int(number) % 500)
        seen.add((writer, number))
    assert len(lines) == len(seen) == 20_000


def test_four_processes_lose_and_tear_no_line_over_periods(folder: Path) -> None:
    writers = write_in_four_processes(folder, "%Y-%m-%d-%H%M%S")
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(list(folder.iterdir())) >= 3
    assert_nothing_is_lost_or_torn(all_lines(folder))


def test_four_processes_lose_and_tear_no_line_while_their_file_is_renamed(folder: Path) -> None:
    writers = write_in_four_processes(folder, "%Y-%m-%d")
    rotated = 0
    while any(writer.poll() is None for writer in writers):
        for path in folder.glob("service-*.log"):
            path.rename(path.with_suffix(f".{rotated}"))
            rotated += 1
        time.sleep(0.01)  # a pace, not a wait
    assert [writer.wait() for writer in writers] == [0] * 4
    assert rotated >= 10
    assert_nothing_is_lost_or_torn(all_lines(folder))
