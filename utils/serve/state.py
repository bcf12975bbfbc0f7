"""RUN_DIR/state: what the master tells the outside, as `name=value` lines; run.sh reads it too.

`python -m utils.serve.state RUN_DIR` asks the service for an answer and prints how to reach it.
"""

import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

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
    """Return the state that the file in this folder tells; None if nothing serves."""
    try:
        lines = (folder / "state").read_text().splitlines()
    except FileNotFoundError:
        return None
    fields = dict(line.split("=", 1) for line in lines)
    pid, started, reloads = (int(fields[name]) for name in ("pid", "started", "reloads"))
    workers = tuple(map(int, fields["workers"].split()))
    return State(fields["name"], pid, started, reloads, fields["address"], workers)


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


def main(folder: Path) -> None:
    """Print how to reach the service; exit with 1 if it does not answer."""
    state = read(folder)
    if state is None or not answers(state.address):
        sys.exit(1)
    sys.stdout.write(f"{state.welcome()}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
