"""The direction of imports, and what an import may do."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import ROOT

ALLOWED = {
    "conf": {"conf"},
    "utils": {"conf", "utils"},
    "decorator": {"conf", "utils"},
    "api": {"conf", "utils"},
    "server": {"conf", "utils", "decorator", "api"},
    "app": {"conf", "utils", "decorator", "api", "server"},
    "gunicorn_conf": {"conf", "utils"},
}
FILES = [
    path.relative_to(ROOT)
    for path in [*ROOT.glob("*.py"), *ROOT.glob("conf/**/*.py"), *ROOT.glob("utils/**/*.py")]
]


def imported(path: Path) -> set[str]:
    """Return the top-level names that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_one_way(path: Path) -> None:
    layer = path.parts[0].removesuffix(".py")
    assert imported(path) & set(ALLOWED) <= ALLOWED[layer]


def test_app_patches_before_it_imports_anything_else() -> None:
    body = ast.parse((ROOT / "app.py").read_text()).body
    assert [ast.unparse(node) for node in body[1:3]] == [
        "from gevent import monkey",
        "monkey.patch_all()",
    ]


CHECK = """
import socket, sys
def refuse(*args): raise AssertionError("a socket was opened")
socket.socket.connect = socket.socket.bind = refuse
import runpy
runpy.run_path("gunicorn_conf.py")
assert not {"redis", "requests", "urllib3"} & set(sys.modules)
import app
"""


def test_imports_open_no_socket_and_load_no_client_before_the_patch() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", CHECK], cwd=ROOT, check=True)
