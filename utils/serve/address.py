"""Where the service listens: an IP address and port, or a Unix socket."""

import socket
import time
from pathlib import Path

from conf import ROOT
from conf.current import settings

TRIES = 5  # as many, and as far apart, as gunicorn's for a port that is taken


def bind() -> str:
    """Return the address in gunicorn's form."""
    if settings.server.socket:
        return f"unix:{ROOT / settings.server.socket}"
    host = settings.server.ip
    return f"[{host}]:{settings.server.port}" if ":" in host else f"{host}:{settings.server.port}"


def ensure_free() -> None:
    """Exit if somebody listens on our Unix socket: gunicorn would take it away from him.

    One that nobody listens on was left by a process that was killed; gunicorn removes it.
    """
    path = ROOT / settings.server.socket
    if not settings.server.socket or not path.exists():
        return
    if not path.is_socket():
        raise SystemExit(f"SERVER_SOCKET={path}: this file is no socket")
    for _ in range(TRIES):
        if not is_listening(path):
            return
        time.sleep(1)
    raise SystemExit(f"SERVER_SOCKET={path}: the socket is in use")


def is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0
