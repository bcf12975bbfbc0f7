"""Folders and files are ours or are not used; what is ours nobody else writes or exchanges."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.stranger import as_stranger, needs_root
from utils.files import check_path, make_folder, open_file, read_file, show, write_file


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may enter, with one in it that is like /tmp."""
    with tempfile.TemporaryDirectory(prefix="pyserver-files-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "tmp").mkdir()
        (folder / "tmp").chmod(0o1777)
        yield folder


def foreign(place: Path) -> Path:
    """A folder of another user's, in /tmp."""
    as_stranger("import os, sys; os.umask(0); os.mkdir(sys.argv[1])", f"{place}/tmp/taken")
    return place / "tmp/taken"


def below(place: Path) -> Path:
    """A folder of ours in one of another user's."""
    (foreign(place) / "ours").mkdir()
    return place / "tmp/taken/ours"


def missing(place: Path) -> Path:
    """A folder that would be made in one of another user's."""
    return foreign(place) / "new/one"


def linked(place: Path) -> Path:
    """A link of another user's to a folder of ours."""
    (place / "private").mkdir()
    link = place / "tmp/link"
    as_stranger("import os, sys; os.symlink(*sys.argv[1:])", f"{place}/private", str(link))
    return link


def dangling(place: Path) -> Path:
    """A link of another user's to a folder that is to be made."""
    link = place / "tmp/link"
    as_stranger("import os, sys; os.symlink(*sys.argv[1:])", f"{place}/private", str(link))
    return link / "new"


def linked_further(place: Path) -> Path:
    """A link of ours to a link of another user's."""
    (place / "tmp/ours").symlink_to(linked(place))
    return place / "tmp/ours"


def writable(place: Path) -> Path:
    """A folder of ours that everybody may write to."""
    (place / "open").mkdir()
    (place / "open").chmod(0o777)
    return place / "open"


def below_writable(place: Path) -> Path:
    """A folder of ours that everybody may exchange."""
    (writable(place) / "ours").mkdir()
    return place / "open/ours"


def sticky(place: Path) -> Path:
    """A folder like /tmp itself."""
    return place / "tmp"


@needs_root
@pytest.mark.parametrize(
    "make",
    [
        foreign,
        below,
        missing,
        linked,
        dangling,
        linked_further,
        writable,
        below_writable,
        sticky,
    ],
)
def test_a_folder_that_others_own_or_write_or_exchange_is_refused(
    place: Path, make: Callable[[Path], Path]
) -> None:
    folder = make(place)
    before = set(place.rglob("*"))
    with pytest.raises(
        PermissionError, match=r"belongs to another user|can be written by every user"
    ):
        make_folder(folder)
    assert set(place.rglob("*")) == before


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_folder_of_ours_is_made_for_us_alone(place: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_folder(place / "tmp/ours")
    finally:
        os.umask(before)
    assert (place / "tmp/ours").stat().st_mode & 0o027 == 0


def test_our_own_links_are_followed(place: Path) -> None:
    make_folder(place / "ours")
    (place / "tmp/link").symlink_to("../ours")
    (place / "tmp/further").symlink_to(place / "tmp/link")
    make_folder(place / "tmp/further/new")
    assert (place / "ours/new").is_dir()


def test_a_loop_of_links_ends(place: Path) -> None:
    (place / "loop").symlink_to("loop")
    with pytest.raises((OSError, RuntimeError)):
        check_path(place / "loop/x")


@needs_root
def test_a_file_of_another_user_is_refused(place: Path) -> None:
    make = "import os, sys; os.umask(0); open(sys.argv[1], 'w')"
    as_stranger(make, f"{place}/tmp/file")
    for flags in (os.O_RDONLY, os.O_RDWR | os.O_CREAT):
        with pytest.raises(PermissionError, match="belongs to another user"):
            open_file(place / "tmp/file", flags)


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_CREAT])
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder", "device"])
def test_only_a_file_is_opened_and_nothing_is_waited_for(
    tmp_path: Path, kind: str, flags: int
) -> None:
    path = tmp_path / kind
    if kind == "link":
        (tmp_path / "victim").touch()
        path.symlink_to(tmp_path / "victim")
    elif kind == "dangling":
        path.symlink_to(tmp_path / "victim")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path = Path(os.devnull)
    with pytest.raises(OSError):  # noqa: PT011  each has a reason of its own
        open_file(path, flags)
    assert kind == "link" or not (tmp_path / "victim").exists()


def test_a_file_that_others_could_open_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    file.chmod(0o666)
    os.close(open_file(file, os.O_RDONLY, 0o640))
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_file_is_put_in_the_place_of_whatever_was_there(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    for name in ("state", "state.new"):
        (tmp_path / name).symlink_to(tmp_path / "victim")
    write_file(tmp_path / "state", "new")
    assert read_file(tmp_path / "state") == "new"
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "victim").read_text() == "precious"


def test_what_is_shown_of_a_file_commands_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch(0o640)
    file.write_bytes(b"before\nm\xc3\xbcde \x1b[2J\xc2\x9b\xe2\x80\xae\xff\r\n")
    show(str(file), "7")
    assert file.stat().st_mode & 0o777 == 0o640
    assert capsys.readouterr().out == "müde \\x1b[2J\\x9b\\u202e\ufffd\n\n".replace("\n\n", "\n")
