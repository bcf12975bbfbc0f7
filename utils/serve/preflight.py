"""Find out whether the service can listen where it is told to.

`python -m utils.serve.preflight [OWN]` exits with what is wrong. gunicorn finds out only when it
has to, and then tries five times; a restart has to know before it stops what runs. OWN is the
address of the running service, which uses that itself.
"""

import errno
import os
import socket
import sys
from pathlib import Path

from gunicorn.app.wsgiapp import WSGIApplication

from utils.serve.address import is_listening
from utils.serve.state import unix_path

HINTS = {
    errno.EADDRINUSE: "set SERVER_PORT to another port",
    errno.EACCES: "ports below 1024 are for root: set SERVER_PORT to another one",
    errno.EADDRNOTAVAIL: "set SERVER_IP to an address of this machine",
}
Address = tuple[str, int] | str


def fault(address: Address, own: str) -> str:
    """Return why nobody can listen on this address, or nothing."""
    if isinstance(address, str):
        return unix_fault(Path(address), Path(unix_path(own)))
    host, port = address
    if own.endswith(f":{port}"):
        return ""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
    except OSError as error:
        reason, hint = os.strerror(error.errno or 0), HINTS.get(error.errno or 0, "")
        return f"cannot listen on {host}:{port}: {reason.lower()}" + (hint and f"; {hint}")
    return ""


def unix_fault(path: Path, own: Path) -> str:
    """Return why nobody can listen on a Unix socket of this path, or nothing."""
    if path == own:
        return ""
    if not os.access(path.parent, os.W_OK):
        return f"cannot listen on {path}: its folder does not exist or cannot be written"
    if is_listening(path):
        return f"cannot listen on {path}: address already in use; set SERVER_SOCKET to another"
    return ""


def main(own: str = "") -> None:
    """Exit with what is wrong, a line for each address."""
    root = Path(__file__).parent.parent.parent
    sys.argv[1:] = ["-c", str(root / "gunicorn_conf.py"), "app:g_app"]
    addresses = WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]").cfg.address
    if faults := list(filter(None, (fault(address, own) for address in addresses))):
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main(*sys.argv[1:])
