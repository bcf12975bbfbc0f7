"""Files and folders of ours, which other users of the machine can neither write nor exchange.

Trusted are root, the user that we run as and the owner of the project, each of whom can have us do
anything. The same goes for whoever may write to the project's folder or to one above it: these are
not checked. Elsewhere, in /tmp for one, somebody else may have put a folder or a link where ours is
to be. run.sh runs this with any Python 3, before there are packages:

    python -m utils.files folder FOLDER      make it, or exit with the reason why it is not ours
    python -m utils.files file FILE MODE     the same with a file
    python -m utils.files path PATH          exit with the reason if another user may exchange it
    python -m utils.files show FILE [START]  print its last lines from this byte on, escaped
"""

import os
import stat
import sys
from errno import EPERM
from functools import cache
from pathlib import Path

from conf import ROOT
from utils.text import escape_unprintable

FOLDER, LOG, PRIVATE = 0o750, 0o640, 0o600
STICKY = stat.S_IWOTH | stat.S_ISVTX  # all may write, but exchange only what is theirs


@cache
def trusted() -> set[int]:
    """Return the users who can do whatever we can; once, for a running project may be renamed."""
    return {0, os.geteuid(), ROOT.stat().st_uid}


def refusal(path: Path | str, reason: str) -> PermissionError:
    return PermissionError(EPERM, f"{path} {reason}", str(path))


def check_path(path: Path) -> None:
    """Raise PermissionError if another user may exchange the path, or a folder or link in it."""
    path.resolve()  # raises for a loop of links
    for part in reversed((path.absolute(), *path.absolute().parents)):
        if part == ROOT or part in ROOT.parents:
            continue
        try:
            status = part.lstat()
        except FileNotFoundError:
            return
        if status.st_uid not in trusted():
            raise refusal(part, "belongs to another user")
        if stat.S_ISLNK(status.st_mode):
            check_path(part.parent / part.readlink())
        elif status.st_mode & STICKY == stat.S_IWOTH:
            raise refusal(part, "can be written by every user")


def make_folder(path: Path, mode: int = FOLDER) -> None:
    """Make the folder if it is not there; raise PermissionError if others may write to it."""
    check_path(path)
    # The mode of one that is there stays as it is: its owner may have a reason for it.
    path.mkdir(mode, parents=True, exist_ok=True)
    check_path(path)
    if path.stat().st_mode & stat.S_IWOTH:
        raise refusal(path, "can be written by every user")


def open_file(path: Path | str, flags: int, mode: int = PRIVATE) -> int:
    """Open a file of ours, never a link, a pipe or the like, and return its descriptor.

    Nobody has more rights to it afterwards than `mode` gives, whoever made it. Raises OSError.
    """
    # NONBLOCK is for a pipe, on which open would wait for the other end.
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, mode)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise refusal(path, "is not a file")
        if status.st_uid not in trusted():
            raise refusal(path, "belongs to another user")
        if status.st_mode & 0o777 & ~mode and os.geteuid() in (0, status.st_uid):
            os.fchmod(fd, status.st_mode & mode)
    except OSError:
        os.close(fd)
        raise
    return fd


def read_file(path: Path | str, start: int = 0, mode: int = PRIVATE) -> str:
    """Return the text of a file of ours from this byte on; raises OSError."""
    with os.fdopen(open_file(path, os.O_RDONLY, mode), "rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")


def write_file(path: Path, text: str) -> None:
    """Put a file with this text in the place of one that may be there, whole or not at all."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(open_file(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w") as file:
        file.write(text)
    new.rename(path)


def show(path: str, start: str = "0") -> None:
    """Print the last lines of a file: escape sequences would command the terminal."""
    for line in read_file(path, int(start), LOG).splitlines()[-40:]:
        print(escape_unprintable(line))  # noqa: T201


def main(verb: str, path: str, *rest: str) -> None:
    try:
        if verb == "folder":
            make_folder(Path(path))
        elif verb == "path":
            check_path(Path(path))
        elif verb == "file":
            check_path(Path(path).parent)
            os.close(open_file(path, os.O_RDWR | os.O_CREAT, int(rest[0], 8)))
        else:
            show(path, *rest)
    except OSError as error:
        sys.exit(f"run.sh: cannot {'read' if verb == 'show' else 'write'} {path}: {error.strerror}")


if __name__ == "__main__":
    main(*sys.argv[1:])
