"""Before anything is stopped it is known whether the service could listen."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import gevent
import pytest

from utils.serve import address
from utils.serve.address import check, tcp_fault, unix_fault


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_refused_unless_it_is_our_own(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "PATIENCE", 0.2)
    monkeypatch.setattr(address, "bind", lambda: f"127.0.0.1:{taken}")
    monkeypatch.setattr(address, "fault", lambda: tcp_fault("127.0.0.1", taken))
    for other in ("", f"http://127.0.0.1:1{taken}"):
        with pytest.raises(SystemExit, match=f"cannot listen on 127.0.0.1:{taken}: .*in use"):
            check(other)
    check(f"http://127.0.0.1:{taken}")


def test_our_own_port_on_an_address_that_is_not_of_this_machine_is_refused(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "bind", lambda: f"192.0.2.1:{taken}")
    monkeypatch.setattr(address, "fault", lambda: tcp_fault("192.0.2.1", taken))
    with pytest.raises(SystemExit, match="set SERVER_IP to an address of this machine"):
        check(f"http://127.0.0.1:{taken}")


def test_a_free_port_is_no_fault() -> None:
    assert tcp_fault("127.0.0.1", 0) == ""


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no such host"])
def test_an_address_that_is_not_of_this_machine_is_a_fault(host: str) -> None:
    assert tcp_fault(host, 10001)


def test_a_unix_socket_needs_a_folder_and_nobody_who_listens(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    assert unix_fault(path) == ""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert unix_fault(path) == ""  # as left by a process that was killed
        server.listen()
        assert "already in use" in unix_fault(path)
    assert "does not exist" in unix_fault(tmp_path / "nowhere/socket")
    assert "no socket" in unix_fault(tmp_path)


def test_who_listens_on_a_unix_socket_and_lets_nobody_in_is_not_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server, ExitStack() as waiting:
        server.bind(path)
        server.listen(0)
        for _ in range(2):  # the second one finds the queue full
            client = waiting.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(path)
        with gevent.Timeout(10):
            assert "already in use" in unix_fault(tmp_path / "socket")


def test_a_unix_socket_that_every_user_may_exchange_is_refused(tmp_path: Path) -> None:
    for mode, words in ((0o777, "every user may exchange"), (0o1777, ""), (0o770, "")):
        tmp_path.chmod(mode)
        assert unix_fault(tmp_path / "socket").startswith(words)
        assert bool(words) == bool(unix_fault(tmp_path / "socket"))


def test_a_port_that_is_freed_soon_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([address.IN_USE, address.IN_USE, ""])
    monkeypatch.setattr(address, "fault", lambda: next(answers))
    check()
    assert next(answers, None) is None
