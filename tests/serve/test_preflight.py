"""Before anything is stopped it is known whether the service could listen."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from utils.serve.preflight import fault


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_a_fault_unless_it_is_our_own(taken: int) -> None:
    assert "already in use" in fault(("127.0.0.1", taken), "")
    assert "already in use" in fault(("127.0.0.1", taken), f"http://127.0.0.1:1{taken}")
    assert fault(("127.0.0.1", taken), f"http://127.0.0.1:{taken}") == ""


def test_a_free_port_is_none(taken: int) -> None:
    assert fault(("127.0.0.1", 0), "") == ""


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no such host"])
def test_an_address_that_is_not_of_this_machine_is_a_fault(host: str) -> None:
    assert f"cannot listen on {host}:10001" in fault((host, 10001), "")


def test_a_unix_socket_needs_a_folder_and_nobody_who_listens(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    assert fault(str(path), "") == ""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert fault(str(path), "") == ""  # as left by a process that was killed
        server.listen()
        assert "already in use" in fault(str(path), "")
        assert fault(str(path), f"unix:{path}") == ""
    assert "does not exist" in fault(str(tmp_path / "nowhere/socket"), "")
