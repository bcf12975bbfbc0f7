"""SERVER_SOCKET: the service behind a Unix socket, with nginx in front or without."""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import need
from tests.support.service import Service, wait_until
from tests.support.wire import UnixConnection
from utils.dev.servers import free_port


def add_seen(service: Service) -> None:
    service.add_route(
        "seen",
        "return Envelope(request.uuid, {}, {n: v for n, v in request.environ.items() "
        "if n[:7] in ('SERVER_', 'REMOTE_') or n in ('HTTP_HOST', 'wsgi.url_scheme')})",
    )


@pytest.fixture
def behind(service: Service) -> Service:
    """A service that listens on `socket` in its folder."""
    service.env["SERVER_SOCKET"] = str(service.folder / "socket")
    add_seen(service)
    return service


@pytest.fixture(scope="module")
def relative() -> Iterator[Path]:
    """The socket of a running service whose SERVER_SOCKET is relative."""
    service = Service(SERVER_SOCKET="service.sock", SERVER_SOCKET_MODE="600")
    add_seen(service)
    service.sh("start", check=True)
    yield service.root / "service.sock"
    service.remove()


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


def ask(path: Path, url: str = "/test", **headers: str) -> dict[str, Any]:
    connection = UnixConnection(str(path))
    connection.request("POST", url, '{"order_id":1}', headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return dict(answer)


def test_every_verb_works_over_a_unix_socket(behind: Service) -> None:
    path = behind.folder / "socket"
    behind.env["SERVER_SOCKET_MODE"] = "660"
    assert f"is up at unix:{path} " in behind.sh("start", check=True).stdout
    assert (ask(path)["err_code"], mode(path)) == (0, "660")
    assert f"unix:{path}" in behind.sh("status", check=True).stdout
    for verb in ("reload", "restart"):
        behind.sh(verb, check=True)
        assert ask(path)["err_code"] == 0
    behind.sh("stop", check=True)
    assert not path.exists()


def test_a_socket_without_a_listener_is_replaced(behind: Service) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(behind.folder / "socket"))
    behind.sh("start", check=True)
    assert ask(behind.folder / "socket")["err_code"] == 0


def test_a_socket_in_use_is_left_to_its_user(behind: Service) -> None:
    path = behind.folder / "socket"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        done = behind.sh("start")
        assert (done.returncode, "in use" in done.stderr) == (1, True), done.stderr
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_file_that_is_no_socket_is_left_alone(behind: Service) -> None:
    (behind.folder / "socket").write_text("mine")
    done = behind.sh("start")
    assert (done.returncode, "is no socket" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr
    assert (behind.folder / "socket").read_text() == "mine"


def test_a_stop_does_without_a_socket_that_was_removed(behind: Service) -> None:
    behind.sh("start", check=True)
    (behind.folder / "socket").unlink()
    behind.sh("stop", check=True)
    assert not (behind.folder / "run/pid").exists()


def test_a_killed_service_can_be_started_again(behind: Service) -> None:
    behind.sh("start", check=True)
    os.kill(behind.pid, signal.SIGKILL)
    behind.sh("start", check=True)
    assert ask(behind.folder / "socket")["err_code"] == 0


def test_a_relative_path_is_below_the_project(relative: Path) -> None:
    assert ask(relative)["err_code"] == 0


def test_the_socket_has_the_permissions_of_the_setting(relative: Path) -> None:
    assert mode(relative) == "600"


def test_the_application_sees_what_pep_3333_demands(relative: Path) -> None:
    seen = ask(relative, "/seen", Host="shop.example:8443")["data"]
    assert seen == {
        "HTTP_HOST": "shop.example:8443",
        "REMOTE_ADDR": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": seen["SERVER_SOFTWARE"],
        "wsgi.url_scheme": "http",
    }


NGINX = """
daemon off; pid %(folder)s/nginx.pid; error_log stderr; worker_processes 1;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy;
    fastcgi_temp_path %(folder)s/f; uwsgi_temp_path %(folder)s/u; scgi_temp_path %(folder)s/s;
    upstream service { server "unix:%(socket)s"; keepalive 8; }
    server {
        listen 127.0.0.1:%(port)d;
        location / {
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto https;
        }
    }
}
"""


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[[Path], int]]:
    """Start nginx in front of a socket and return its port."""
    need("nginx")
    processes = []

    def start(path: Path) -> int:
        port = free_port()
        file = tmp_path / "nginx.conf"
        file.write_text(NGINX % {"folder": tmp_path, "socket": path, "port": port})
        command = [shutil.which("nginx") or "/usr/sbin/nginx", "-p", str(tmp_path), "-c", str(file)]
        processes.append(subprocess.Popen(command))
        wait_until(lambda: accepts(port))
        return port

    yield start
    for process in processes:
        process.terminate()
        process.wait()


def test_nginx_passes_requests_on_over_the_socket(
    behind: Service, nginx: Callable[[Path], int]
) -> None:
    behind.env["SERVER_SOCKET_MODE"] = "666"  # nginx's workers are another user where it is root's
    behind.folder.chmod(0o755)
    behind.sh("start", check=True)
    assert mode(behind.folder / "socket") == "666"
    behind.port = nginx(behind.folder / "socket")
    status, envelope, _ = behind.request("/seen", Host="shop.example")
    assert (status, envelope["data"]["HTTP_HOST"]) == (200, "shop.example")
    assert envelope["data"]["wsgi.url_scheme"] == "https"
    behind.sh("reload", check=True)
    assert [behind.request()[0] for _ in range(20)] == [200] * 20
