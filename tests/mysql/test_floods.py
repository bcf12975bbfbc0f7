"""An answer without an end is cut in time, and leaves other greenlets their turn."""

import pytest

from tests.support.floods import flood
from tests.support.mysql import in_use, refused, set_mysql
from tests.support.rogue_mysql import OK, greeting, packets
from tests.support.service import wait_until
from tests.support.turns import other_turns
from utils.dev.servers import MariaDB
from utils.mysql import connection, mysql

COLUMN = b"\x03def\0\0\0\x01a\0\x0c\x2d\0\xff\0\0\0\xfd\0\0\0\0\0"
# What comes after the login: the beginning of an answer, and what is repeated.
FLOODS = {
    "columns": (packets(1, b"\xfe" + b"\xff" * 4 + bytes(4)), packets(2, *[COLUMN] * 256)),
    "rows": (packets(1, b"\1", COLUMN, b"\xfe\0\0\2\0"), packets(4, *[b"\1x"] * 256)),
    "results": (b"", packets(1, *[b"\0\0\0\x0a\0\0\0"] * 256)),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    beginning, repeated = FLOODS[kind]
    login = packets(0, greeting("mysql_native_password")) + packets(2, OK) + packets(1, OK)
    sent = (login + beginning).decode("latin-1"), repeated.decode("latin-1")
    with other_turns() as turns, flood(*sent) as url:
        set_mysql(monkeypatch, port=int(url.rpartition(":")[2]))
        assert refused(mysql.value, "SELECT 1") == "MySQL is not available"
    assert turns.count > 1


def test_an_answer_that_is_too_large_is_refused(
    accounts: MariaDB, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "MAX_ANSWER_BYTES", 100_000)
    for _ in range(3):  # each answer has the limit for itself
        assert len(mysql.value("SELECT REPEAT('x', 90000)")) == 90_000
    message = refused(mysql.rows, "SELECT REPEAT('x', 60000) FROM accounts")
    assert message == "MySQL is not available"
    assert "the answer is larger than 100000 bytes" in caplog.text
    assert mysql.value("SELECT 1") == 1
    wait_until(lambda: in_use() == 0)
