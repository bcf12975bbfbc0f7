"""RUN_DIR/state: what the master tells the outside, as `name=value` lines.

run.sh runs this with any Python 3: `python -m utils.serve.state welcome RUN_DIR` asks the service
for an answer and prints how to reach it; `facts` and the
name of a field print these.
"""

import os
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from utils.files import read_file

AS_ROOT = "runs as root, and so does any fault in it: better start it as a user of its own"
ANSWER_TIMEOUT = 10.0


@dataclass(frozen=True)
class State:
    """The running service; `started` is in seconds since 1970, `reloads` counts from 0.

    The address is the one for clients, `http://host:port` or `unix:/path`; the workers are the
    pids of those that serve.
    """

    name: str
    pid: int
    started: int
    reloads: int
    address: str
    workers: tuple[int, ...]

    def __str__(self) -> str:
        workers = " ".join(map(str, self.workers))
        fields = {**asdict(self), "workers": workers}
        return "".join(f"{name}={value}\n" for name, value in fields.items())

    def facts(self) -> str:
        """Describe the service for `status`."""
        return (
            f"  pid      {self.pid}\n  address  {self.address}\n"
            f"  workers  {' '.join(map(str, self.workers))}\n"
            f"  uptime   {int(time.time()) - self.started} s"
        )

    def welcome(self) -> str:
        """Describe where the service is, and a command that tries it."""
        url, option = self.address, ""
        if path := unix_path(self.address):
            url, option = "http://localhost", f"--unix-socket {quote(path)} "
        return (
            f"{self.name} is up at {self.address} (pid {self.pid}); try\n"
            f"curl {option}{url}/test -d '{{\"order_id\":12345}}'"
        )


def read(folder: Path) -> State | None:
    """Return the state that the file in this folder tells; None if nothing serves.

    None also if the file is not what a master of ours writes: nothing of it goes to a terminal.
    """
    try:
        lines = read_file(folder / "state").removesuffix("\n").split("\n")
        fields = dict(line.split("=", 1) for line in lines if line.isprintable())
        pid, started, reloads = (int(fields[name]) for name in ("pid", "started", "reloads"))
        workers = tuple(map(int, fields["workers"].split()))
        return State(fields["name"], pid, started, reloads, fields["address"], workers)
    except (OSError, ValueError, KeyError):
        return None


def client_address(listener: str) -> str:
    """Return the address for clients: one that listens on all interfaces is local too."""
    return listener.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def unix_path(address: str) -> str:
    """Return the path of a Unix socket's address, nothing for another one."""
    return address.removeprefix("unix:") if address.startswith("unix:") else ""


def answers(address: str) -> bool:
    """Return whether the service answers there: a port can be open with nobody behind it."""
    family, target = socket_address(address)
    try:
        with socket.socket(family) as sock:
            sock.settimeout(ANSWER_TIMEOUT)
            sock.connect(target)
            sock.sendall(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            with sock.makefile("rb") as file:
                return file.readline(100).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def socket_address(address: str) -> tuple[socket.AddressFamily, Any]:
    """Return what a socket needs to connect to this address."""
    if path := unix_path(address):
        return socket.AF_UNIX, path
    host, _, port = address.removeprefix("http://").rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return family, (host.strip("[]"), int(port))


def main(what: str, folder: Path) -> None:
    """Print what is asked for; exit with 1 if the service does not serve."""
    state = read(folder)
    if state is None or (what == "welcome" and not answers(state.address)):
        sys.exit(1)
    values = {**asdict(state), "welcome": state.welcome(), "facts": state.facts()}
    print(values[what], flush=True)  # noqa: T201
    if what == "welcome" and os.geteuid() == 0:
        sys.stderr.write(f"{state.name} {AS_ROOT}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
