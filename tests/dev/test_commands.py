"""Programs that are missing are named at once, with what installs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import need
from tests.support.service import ROOT
from utils.dev import commands
from utils.dev.commands import ensure_installed

MISSING = (
    "not installed: mariadbd, redis-server, nosuch; on Debian: "
    "apt install mariadb-server-core mariadb-client-core redis-tools nosuch"
)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH with nothing in it."""
    monkeypatch.setattr(commands, "PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def put(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_all_that_is_missing_is_named_at_once(bare: Path) -> None:
    with pytest.raises(SystemExit) as raised:
        ensure_installed("mariadbd", "redis-server", "nosuch")
    assert str(raised.value) == MISSING


def test_a_server_outside_of_the_path_is_found(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = tmp_path / "sbin"
    places.mkdir()
    put(places, "mariadbd", "")
    monkeypatch.setattr(commands, "PLACES", (str(places),))
    ensure_installed("mariadbd")


def test_root_installs_what_is_missing_and_says_so_before(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("NO_INSTALL", raising=False)
    log = bare / "log"
    put(
        bare,
        "apt-get",
        f'echo "$SYSTEMD_OFFLINE $*" >>{log}; exec /bin/ln -sf /bin/sh {bare}/nosuch',
    )
    ensure_installed("nosuch")
    told = "Installing nosuch by apt-get (NO_INSTALL=1 forbids it) ...\n"
    assert capfd.readouterr().err == told
    assert log.read_text() == (
        "1 update\n1 install -y --no-remove --no-install-recommends nosuch\n"
    )


def test_an_installation_that_fails_tells_why(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("NO_INSTALL", raising=False)
    put(bare, "apt-get", 'case $1 in install) echo "Packages need to be removed"; exit 100; esac')
    with pytest.raises(
        SystemExit, match=r"apt-get install .* failed:\nPackages need to be removed"
    ):
        ensure_installed("nosuch")


@pytest.mark.parametrize(("user", "forbidden"), [(0, "1"), (1000, ""), (1000, "1")])
def test_nothing_is_installed_by_others_than_root_or_if_it_is_forbidden(
    bare: Path, monkeypatch: pytest.MonkeyPatch, user: int, forbidden: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("NO_INSTALL", forbidden)
    put(bare, "apt-get", f"echo called >{bare}/log")
    with pytest.raises(SystemExit, match="not installed: nosuch"):
        ensure_installed("nosuch")
    assert not (bare / "log").exists()


def test_a_missing_program_ends_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_INSTALL", "1")
    with pytest.raises(pytest.exit.Exception, match="not installed: nosuch"):
        need("nosuch")


def test_the_needs_of_the_tests_are_looked_at_before_anything_is_installed(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    put(tmp_path, "python3", f'exec "{sys.executable}" "$@"')
    for program in ("dirname", "grep", "cksum"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    done = subprocess.run(
        ["/bin/sh", str(ROOT / "run.sh"), "test"],
        env={
            "PATH": str(tmp_path),
            "PYTHON": str(python),
            "VENV": str(tmp_path / "venv"),
            "NO_INSTALL": "1",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("not installed: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "venv").exists()
