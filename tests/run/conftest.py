"""Environments, registries and processes for the tests of run.sh."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.support.service import ROOT, Service


@pytest.fixture
def foreign() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is none of ours."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    assert process.poll() is None, "a foreign process was signalled"
    process.kill()
    process.wait()


@pytest.fixture
def fresh(service: Service) -> Service:
    """A copy without an environment, whose lock has just what `sh run.sh config` needs."""
    service.env["VENV"] = str(service.root / ".venv")
    lock = (service.root / "requirements.lock").read_text()
    packages = re.findall(r"^(?:msgspec|python-dotenv)==(?:.*\\\n)+.*\n", lock, re.MULTILINE)
    asked_for = re.findall(r"^#.*\n", lock, re.MULTILINE)
    (service.root / "requirements.lock").write_text("".join([*asked_for, *packages]))
    return service


@pytest.fixture
def linked(service: Service) -> Service:
    """A copy whose environment is the tests' own, to which it has a link that it may change."""
    folder = service.folder / "venv.d"
    folder.mkdir()
    (folder / "first").symlink_to(sys.prefix)
    (service.folder / "venv").symlink_to("venv.d/first")
    service.env["VENV"] = str(service.folder / "venv")
    return service


@pytest.fixture
def tests_lock(service: Service) -> None:
    """The copy has the tests too."""
    shutil.copytree(ROOT / "tests", service.root / "tests")


NO_REGISTRY = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_NO_CACHE_DIR": "1",
    "PIP_FIND_LINKS": "",
    "PIP_RETRIES": "0",
}


@pytest.fixture
def no_registry() -> dict[str, str]:
    """The environment of a pip that reaches no registry and has nothing cached."""
    return NO_REGISTRY


@pytest.fixture
def silent_registry() -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """A registry that accepts a connection and never answers, and the environment for it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/simple"
        yield server, {**NO_REGISTRY, "PIP_INDEX_URL": url}


def hear_signals() -> None:
    """Do not ignore what a child of `... &` or `nohup` ignores, and no shell can undo."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def at_terminal(service: Service) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Call run.sh in a process group of its own, as a terminal does."""
    called: list[subprocess.Popen[str]] = []

    def call(*verb: str) -> "subprocess.Popen[str]":
        called.append(
            subprocess.Popen(
                [*service.shell, "run.sh", *verb],
                cwd=service.root,
                env=service.env,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=hear_signals,  # noqa: PLW1509  this process has no threads
            )
        )
        return called[-1]

    yield call
    for process in called:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
