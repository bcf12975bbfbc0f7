"""Calls over TLS: whom they trust, how they show who they are, and how they fail."""

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.faulty import Faulty
from tests.support.floods import flood
from tests.support.service import certify
from utils.errors import UnavailableError
from utils.http import Upstream


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[str, str]]:
    """Make, or find, a certificate and a key by a name."""
    made: dict[str, tuple[str, str]] = {}

    def find(name: str) -> tuple[str, str]:
        if name not in made:
            certificate, key = certify(tmp_path_factory.mktemp(name))
            made[name] = str(certificate), str(key)
        return made[name]

    return find


Files = Callable[[str], tuple[str, str]]


@pytest.fixture
def serve(files: Files) -> Iterator[Callable[..., Faulty]]:
    """Start servers; one that trusts a client asks each for its certificate."""
    servers = []

    def start(trusts: str = "") -> Faulty:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files("server"))
        if trusts:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(trusts)
        servers.append(Faulty(ssl_context=context))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def test_an_untrusted_certificate_is_refused(serve: Callable[..., Faulty]) -> None:
    faulty = serve()
    with pytest.raises(UnavailableError, match=r"^warehouse cannot be reached over TLS$"):
        Upstream("warehouse", faulty.url, total_timeout=20).get("/echo/1")
    assert faulty.requests == []


def test_a_certificate_for_another_name_is_refused(
    serve: Callable[..., Faulty], files: Files
) -> None:
    faulty = serve()
    url = faulty.url.replace("127.0.0.1", "localhost")
    with pytest.raises(UnavailableError, match=r"^warehouse cannot be reached over TLS$"):
        Upstream("warehouse", url, ca_file=files("server")[0], total_timeout=20).get("/echo/1")
    assert faulty.requests == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/cut", "closed the connection early"),
        ("/reset", "closed the connection early"),
        ("/break_tls", "cannot be reached over TLS"),
    ],
)
def test_a_post_over_tls_that_breaks_is_sent_once(
    serve: Callable[..., Faulty], files: Files, path: str, message: str
) -> None:
    faulty = serve()
    upstream = Upstream("warehouse", faulty.url, ca_file=files("server")[0], total_timeout=20)
    assert upstream.get("/echo/1").decode() == {"id": "1"}
    with pytest.raises(UnavailableError, match=f"^warehouse {message}$"):
        upstream.post(path)
    assert faulty.count(path) == 1
    assert upstream.get("/echo/1").decode() == {"id": "1"}
    upstream.session().close()


def test_connections_over_tls_are_kept(serve: Callable[..., Faulty], files: Files) -> None:
    faulty = serve()
    upstream = Upstream("warehouse", faulty.url, ca_file=files("server")[0], total_timeout=20)
    for _ in range(5):
        upstream.post("/echo/1")
    assert faulty.connections == 1
    upstream.session().close()


@pytest.mark.parametrize("one_file", [True, False])
def test_a_client_certificate_shows_who_calls(
    serve: Callable[..., Faulty], files: Files, one_file: bool, tmp_path: Path
) -> None:
    faulty = serve(trusts=files("client")[0])
    cert: str | tuple[str, str] = files("client")
    if one_file:
        both = tmp_path / "both.pem"
        both.write_text("".join(Path(file).read_text() for file in files("client")))
        cert = str(both)
    ca_file = files("server")[0]
    upstream = Upstream("bank", faulty.url, ca_file=ca_file, cert=cert, total_timeout=20)
    assert upstream.post("/echo/1").decode() == {"id": "1"}
    upstream.session().close()


@pytest.mark.parametrize("cert", ["", "stranger"])
def test_without_the_right_client_certificate_nothing_is_answered(
    serve: Callable[..., Faulty], files: Files, cert: str
) -> None:
    faulty = serve(trusts=files("client")[0])
    upstream = Upstream(
        "bank",
        faulty.url,
        ca_file=files("server")[0],
        cert=files(cert) if cert else "",
        total_timeout=20,
    )
    with pytest.raises(UnavailableError):
        upstream.get("/echo/1")
    assert faulty.requests == []


def test_a_renewed_client_certificate_is_taken_by_the_next_connection(
    serve: Callable[..., Faulty], files: Files, tmp_path: Path
) -> None:
    faulty = serve(trusts=files("client")[0])
    cert = tmp_path / "certificate.pem", tmp_path / "key.pem"

    def put(name: str, changed_at: int) -> None:
        for source, target in zip(files(name), cert, strict=True):
            shutil.copy(source, target)
            os.utime(target, (changed_at, changed_at))

    put("stranger", 1000)
    paths = str(cert[0]), str(cert[1])
    ca_file = files("server")[0]
    upstream = Upstream(
        "bank", faulty.url, ca_file=ca_file, cert=paths, max_age=0, total_timeout=20
    )
    with pytest.raises(UnavailableError):
        upstream.get("/echo/1")
    put("client", 2000)
    assert upstream.get("/echo/1").status == 200
    cert[1].write_text("half of a fi")  # it is being written
    assert upstream.get("/echo/1").status == 200
    upstream.session().close()


@pytest.fixture
def encrypted(files: Files, tmp_path: Path) -> str:
    """The client's key with a password."""
    file = str(tmp_path / "encrypted.pem")
    command = ["openssl", "rsa", "-aes128", "-passout", "pass:secret", "-in", files("client")[1]]
    subprocess.run([*command, "-out", file], check=True, capture_output=True)
    return file


def test_files_are_looked_at_when_the_upstream_is_named(
    files: Files, encrypted: str, tmp_path: Path
) -> None:
    certificate = files("client")[0]
    other_key = files("stranger")[1]
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    missing = str(tmp_path / "missing.pem")
    for options in (
        {"ca_file": missing},
        {"ca_file": str(broken)},
        {"cert": missing},
        {"cert": (certificate, missing)},
        {"cert": (certificate, other_key)},
        {"cert": (certificate, encrypted)},
        {"cert": certificate},  # without a key
    ):
        with pytest.raises(ValueError, match=r"^bank: cannot load "):
            Upstream("bank", "https://127.0.0.1", **options)


@pytest.mark.parametrize(
    "bytes_sent", ["garbage ", "\x16\x03\x01\x00\x05", "HTTP/1.1 400 No\r\n\r\n"]
)
def test_a_server_that_does_not_speak_tls_is_not_called(bytes_sent: str) -> None:
    with flood(bytes_sent, bytes_sent) as url, pytest.raises(UnavailableError) as raised:
        Upstream("warehouse", url.replace("http", "https"), total_timeout=5).post("/")
    assert str(raised.value) in (
        "warehouse cannot be reached over TLS",
        "warehouse closed the connection early",
    )


def test_a_handshake_that_hangs_is_a_failure_to_connect() -> None:
    """The kernel accepts the connections, and nobody reads from them. Nothing was sent yet."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        upstream = Upstream("warehouse", url, connect_timeout=0.3, total_timeout=20, retries=2)
        with pytest.raises(UnavailableError, match=r"^warehouse cannot be reached$"):
            upstream.post("/echo/1")
        for _ in range(3):
            with server.accept()[0] as sock:
                while sock.recv(65536):  # to the end: the client has closed it
                    pass
