"""Where the service listens: an IP address and port, or a Unix socket.

`python -m utils.serve.address [OWN]` exits with the reason if it cannot listen there. gunicorn
finds out only when it has to, and takes a Unix socket away from whoever listens on it; a restart
has to know before it stops what runs. OWN is the address of that, which it may use again.
"""

import errno
import os
import socket
import stat
import sys
import time
from pathlib import Path

from conf import ROOT
from conf.current import settings
from utils.files import STICKY

PATIENCE = 2.0  # seconds: the workers of a master that was killed listen for one more
IN_USE = "address already in use; set SERVER_PORT to another port or SERVER_SOCKET to another path"
NOT_HERE = "set SERVER_IP to an address of this machine"
REASONS = {
    errno.EADDRINUSE: IN_USE,
    errno.EACCES: "ports below 1024 are for root; set SERVER_PORT to another one",
    errno.EADDRNOTAVAIL: NOT_HERE,
    socket.EAI_NONAME: NOT_HERE,
}


def bind() -> str:
    """Return the address in gunicorn's form."""
    if settings.server.socket:
        return f"unix:{ROOT / settings.server.socket}"
    host = settings.server.ip
    return f"[{host}]:{settings.server.port}" if ":" in host else f"{host}:{settings.server.port}"


def check(own: str = "") -> None:
    """Exit if nobody can listen on the address, unless it is our own already."""
    is_ours = own.endswith(":" + bind().rpartition(":")[2])  # ":10001" or ":/path"
    give_up_at = time.monotonic() + PATIENCE
    while (reason := fault()) == IN_USE and not is_ours and time.monotonic() < give_up_at:
        time.sleep(0.1)
    if reason and not (is_ours and reason == IN_USE):
        sys.exit(f"cannot listen on {bind()}: {reason}")


def fault() -> str:
    """Return why nobody can listen on the address, or nothing."""
    if settings.server.socket:
        return unix_fault(ROOT / settings.server.socket)
    return tcp_fault(settings.server.ip, settings.server.port)


def unix_fault(path: Path) -> str:
    if not os.access(path.parent, os.W_OK):
        return "its folder does not exist or cannot be written"
    if path.parent.stat().st_mode & STICKY == stat.S_IWOTH:  # and listen in our place
        return "every user may exchange what is in its folder"
    if path.exists() and not path.is_socket():
        return "this file is no socket"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)  # who listens may let nobody in
        found = client.connect_ex(str(path))
    left = (errno.ENOENT, errno.ECONNREFUSED)  # by a killed process, or there is none
    return "" if found in left else IN_USE


def tcp_fault(host: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        return REASONS.get(error.errno or 0, str(error.strerror))
    return ""


if __name__ == "__main__":
    check(*sys.argv[1:])
