"""Log files by day, which any number of processes append to and anything may rotate."""

import os
import time
from contextlib import suppress
from pathlib import Path

from utils.log.handler import LineHandler, write_all

MODE = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class DailyFile(LineHandler):
    """A file a day, named by its date: rotation is opening the next name.

    A record is one write to a file opened with O_APPEND, so that lines of several processes stay
    whole without a lock (TimedRotatingFileHandler lost three of four lines, for each process
    renames the file under the others).
    """

    def __init__(self, folder: Path, name: str, keep_days: int, period: str = "%Y-%m-%d") -> None:
        super().__init__()
        self.folder, self.name, self.keep_days = folder, name, keep_days
        self.form = f"{name}-{period}.log"
        self.path = self.newest = folder
        self.second = self.file = -1
        self.identity = (-1, -1)

    def write(self, data: bytes, created: float) -> None:
        second = int(created)
        if second != self.second:
            self.path = self.folder / time.strftime(self.form, time.localtime(second))
            self.second = second
        size = self.open()
        if self.lost and size and os.pread(self.file, 1, size - 1) != b"\n":
            data = b"\n" + data  # a full disk took half of a line
        write_all(self.file, data)

    def open(self) -> int:
        """Ensure that the file with our path is the one that is open, and return its size.

        Looked at before each line, for 2 µs: logrotate renames a file, compresses it and deletes
        it, all within a second, and what is written to it meanwhile is gone.
        """
        try:
            status = os.stat(self.path)  # noqa: PTH116  Path.stat takes twice as long
        except FileNotFoundError:
            return self.open_anew()
        if (status.st_dev, status.st_ino) != self.identity:
            return self.open_anew()
        return status.st_size

    def open_anew(self) -> int:
        """Open the file with our path, and return its size."""
        self.reopen()
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.file = os.open(self.path, MODE, 0o640)
        status = os.fstat(self.file)
        self.identity = (status.st_dev, status.st_ino)
        if self.path != self.newest:
            self.newest = self.path
            self.remove_old()
        return status.st_size

    def remove_old(self) -> None:
        """Remove our files that nobody has written to for `keep_days`."""
        oldest = time.time() - self.keep_days * 86400
        for path in self.folder.glob(f"{self.name}-*.log"):
            with suppress(OSError):  # another process was faster, or the file is not ours
                status = path.stat()
                if self.is_ours(path, status) and status.st_mtime < oldest:
                    path.unlink()

    def is_ours(self, path: Path, status: os.stat_result) -> bool:
        """Return whether the file was made by this service: others may log into the folder too."""
        try:
            day = time.strptime(path.name, self.form)
        except ValueError:
            return False
        return status.st_uid == os.geteuid() and time.strftime(self.form, day) == path.name

    def reopen(self) -> None:
        """Close the file; the next line opens the one that then has the path."""
        self.identity = (-1, -1)
        if self.file >= 0:
            file, self.file = self.file, -1
            os.close(file)

    def close(self) -> None:
        self.reopen()
        super().close()
