"""A server process of our own, with its data in a folder that nobody else can enter."""

import os
import random
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import ClassVar

from utils.dev.commands import ensure_installed, spawn, which
from utils.files import make_folder


def free_port() -> int:
    """Return a port that nobody listens on, below those that the kernel gives to clients."""
    while True:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class LocalServer:
    """A server that listens on a free port and on a socket in its folder."""

    programs: ClassVar[tuple[str, ...]]  # the server itself is the first one
    prefix: ClassVar[str]  # of its settings

    def __init__(self, folder: Path) -> None:
        ensure_installed(*self.programs)
        self.folder = folder
        self.password = os.environ.get(f"{self.prefix}_PASSWORD") or secrets.token_urlsafe()
        self.socket = folder / "socket"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def login(self) -> str:
        """Return the command line that opens the server's own client."""
        raise NotImplementedError

    def env(self) -> dict[str, str]:
        """Return the settings that lead to this server by the socket: others may take its port."""
        values = {"HOST": str(self.socket), "PORT": str(self.port), "PASSWORD": self.password}
        return {f"{self.prefix}_{name}": value for name, value in values.items()}

    def prepare(self) -> None:
        make_folder(self.folder, 0o700)
        self.folder.chmod(0o700)

    def start(self) -> None:
        """Start the server, and return when it accepts connections."""
        self.prepare()
        log = self.folder / "server.log"
        with log.open("wb") as output:
            self.process = spawn(
                self.command(),
                self.folder / "pid",
                executable=which(self.programs[0]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        # Measured: MariaDB took 8 s on a disk that others write to, which is what it waits for. One
        # that fails ends, so a long limit is waited for only if it hangs.
        deadline = time.monotonic() + 120
        while not self.accepts():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                last = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
                raise SystemExit(f"{self.programs[0]} did not start; {log} ends with\n{last}")
            time.sleep(0.02)

    def accepts(self) -> bool:
        """Return whether the server takes connections.

        Asked by the socket, which only our server can have made: anybody may listen on the port.
        Both servers end if they do not get the port, and take it before they make the socket.
        """
        with socket.socket(socket.AF_UNIX) as sock:
            return sock.connect_ex(str(self.socket)) == 0

    def send(self, number: int) -> None:
        """Send the server a signal: SIGSTOP makes it hang, SIGCONT go on."""
        if self.process:
            self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop the server, and return when it is gone."""
        self.send(signal.SIGCONT)
        self.send(number)
        if self.process:
            self.process.wait(120)
