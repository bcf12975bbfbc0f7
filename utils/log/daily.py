"""Log files by day, which any number of processes append to and anything may rotate."""

import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from utils.files import LOG, make_folder, open_file
from utils.log.handler import LineHandler, write_all

FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT
CHECK_SECONDS = 0.001  # a gzip takes longer to start
DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"


class DailyFile(LineHandler):
    """A file a day, named by its date: rotation is opening the next name."""

    # A record is one write to a file opened with O_APPEND, so that lines of several processes stay
    # whole without a lock (TimedRotatingFileHandler lost three of four lines, for each process
    # renames the file under the others).

    def __init__(self, folder: Path, name: str, keep_days: int, period: str = "%Y-%m-%d") -> None:
        super().__init__()
        self.folder, self.name, self.keep_days = folder, name, keep_days
        self.form = f"{name}-{period}.log"
        self.path = folder
        self.second = self.file = -1
        self.checked = 0.0  # when, in seconds of time.time()
        self.identity = (-1, -1)  # device and inode of the open file

    def write(self, data: bytes, created: float) -> None:
        second = int(created)
        if second != self.second:
            self.path = self.folder / time.strftime(self.form, time.localtime(second))
            self.second = second
            self.checked = 0.0
        # Not before each line: it takes 10 µs of a request. But often: logrotate renames a file and
        # starts gzip, which deletes it; what is written to it after gzip has read it is gone.
        if self.file < 0 or not 0 <= created - self.checked < CHECK_SECONDS:
            self.checked = created
            self.check_identity()
        if self.lost and self.is_torn():
            data = b"\n" + data
        write_all(self.file, data)

    def check_identity(self) -> None:
        try:
            status = os.stat(self.path)  # noqa: PTH116  Path.stat takes twice as long
        except FileNotFoundError:
            self.open()
        else:
            if (status.st_dev, status.st_ino) != self.identity:
                self.open()

    def open(self) -> None:
        self.reopen()
        make_folder(self.folder)
        self.file = open_file(self.path, FLAGS, LOG)
        status = os.fstat(self.file)
        self.identity = (status.st_dev, status.st_ino)
        self.remove_old()

    def is_torn(self) -> bool:
        """Return whether the file ends with half a line: a full disk took no more of it."""
        size = os.fstat(self.file).st_size
        return size > 0 and os.pread(self.file, 1, size - 1) != b"\n"

    def remove_old(self) -> None:
        """Remove our files that nobody has written to for `keep_days`; others' may be there too."""
        oldest = time.time() - self.keep_days * 86400
        for path in self.folder.glob(f"{self.name}-{DAY}.log"):
            with suppress(OSError, ValueError):  # another process was faster; or it is no date
                time.strptime(path.name, f"{self.name}-%Y-%m-%d.log")
                status = path.lstat()
                ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
                if ours and status.st_mtime < oldest:
                    path.unlink()

    def reopen(self) -> None:
        """Close the file; the next line opens the one that then has the path."""
        self.identity = (-1, -1)
        self.checked = 0.0
        if self.file >= 0:
            file, self.file = self.file, -1
            os.close(file)

    def close(self) -> None:
        self.reopen()
        super().close()
