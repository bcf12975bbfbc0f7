"""Copies of the project that run for real, and the clients that talk to them."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from urllib3.util.wait import wait_for_read

from tests.support.processes import processes_in
from tests.support.required import required_settings
from tests.support.programs import need
from utils.dev.servers import free_port
from utils.serve import state

ROOT = Path(__file__).parent.parent.parent
OWN = ("ENV_FILE", "MYSQL_", "REDIS_")  # settings of the tests' own process
LEFT_OUT = (".*", "logs", "run", "tests")


def wait_until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Return the condition's value as soon as it is true; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {condition}")


def certify(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1, and return its file and its key's."""
    need("openssl")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test"
    names = ("-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-out", certificate, "-keyout", key)
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return certificate, key


class Service:
    """A copy of the project in a temporary folder, driven by its run.sh."""

    def __init__(self, **settings: str | int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pyserver ", dir="/tmp"))
        self.root = self.folder / "copy"
        shutil.copytree(ROOT, self.root, ignore=shutil.ignore_patterns(*LEFT_OUT))
        self.port = free_port()
        self.shell = ["sh"]
        self.env = {
            **required_settings(),
            **{name: os.environ[name] for name in os.environ if not name.startswith(OWN)},
            "VENV": sys.prefix,
            "SERVER_PORT": str(self.port),
            "LOG_DIR": str(self.folder / "logs"),
            "RUN_DIR": str(self.folder / "run"),
            **{name: str(value) for name, value in settings.items()},
        }

    def sh(self, *verb: str, check: bool = False) -> "subprocess.CompletedProcess[str]":
        """Call run.sh."""
        done = subprocess.run(
            [*self.shell, "run.sh", *verb],
            cwd=self.root,
            env=self.env,
            text=True,
            capture_output=True,
            timeout=120,
        )
        assert not check or done.returncode == 0, f"{verb}: {done}"
        return done

    def popen(self, *verb: str) -> "subprocess.Popen[str]":
        """Call run.sh without waiting for it."""
        return subprocess.Popen(
            [*self.shell, "run.sh", *verb],
            cwd=self.root,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def remove(self) -> None:
        """Stop the service, if any of it runs, and remove its folder."""
        if processes_in(self.folder):
            self.sh("stop")
        shutil.rmtree(self.folder)

    @property
    def pid(self) -> int:
        """The master's pid."""
        return int((self.folder / "run/pid").read_text())

    def running_pid(self) -> int | None:
        """The master's pid once it serves."""
        return int(state.read(self.folder / "run").get("pid", 0)) or None

    def workers(self) -> list[int]:
        """Return the pids of the workers that serve."""
        return list(map(int, state.read(self.folder / "run")["workers"].split()))

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a file of the copy."""
        path = self.root / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def add_to_server(self, methods: str) -> None:
        """Add methods to the end of the class in server.py."""
        self.edit("server.py", "\n\n\ng_server = ", f"\n\n{methods.rstrip()}\n\n\ng_server = ")

    def add_route(self, name: str, body: str) -> None:
        """Add a route of this name whose method, which knows Envelope, has this one line."""
        self.add_to_server(
            f'    @expose("/{name}", methods=["GET", "POST"])\n'
            f"    def {name}(self, request: Request) -> Response:\n"
            f"        from utils.web import Envelope\n\n        {body}\n"
        )

    def request(
        self,
        path: str = "/test",
        body: str | bytes | None = '{"order_id":1}',
        method: str = "POST",
        **headers: str,
    ) -> tuple[int, dict[str, Any], http.client.HTTPMessage]:
        """Send a request over a connection of its own; return status, envelope and headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return response.status, json.loads(response.read()), response.headers
        finally:
            connection.close()

    def exchange(self, data: bytes, half_close: bool = False) -> bytes:
        """Send bytes and return all that comes back until the service closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as sock:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            answer = b""
            while part := sock.recv(65536):
                answer += part
            return answer

    def log(self, name: str = "service") -> str:
        """Return what a log has so far."""
        return "".join(
            path.read_text() for path in sorted((self.folder / "logs").glob(f"{name}-*"))
        )


class Load:
    """Keep-alive and closing clients that count their answers and keep what fails."""

    def __init__(self, service: Service, keeping: int, closing: int) -> None:
        self.service, self.answers, self.failures = service, 0, []  # type: ignore[var-annotated]
        self.longest = 0.0
        self.stopping = threading.Event()
        self.threads = [
            threading.Thread(target=self.work, args=(index < keeping,))
            for index in range(keeping + closing)
        ]

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def work(self, keep: bool) -> None:
        """Send requests until told to stop."""
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=30)
        headers = {} if keep else {"Connection": "close"}
        while not self.stopping.is_set():
            started = time.perf_counter()
            if connection.sock and wait_for_read(connection.sock, timeout=0):
                connection.close()  # the other end has, as every client finds out before it sends
            try:
                connection.request("POST", "/test", '{"order_id":1}', headers)
                response = connection.getresponse()
                answer = json.loads(response.read())
                assert (response.status, answer["err_msg"]) == (200, "ok"), answer
                self.answers += 1
            except Exception as error:
                self.failures.append(repr(error))
                connection.close()
            time.sleep(0.1)
            self.longest = max(self.longest, time.perf_counter() - started)
        connection.close()
