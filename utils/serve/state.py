"""RUN_DIR/state: what the master tells the outside, as `name=value` lines.

`started` is in seconds since 1970, `reloads` counts from 0, `address` is the one for clients,
`http://host:port` or `unix:/path`, and `workers` are the pids of those that serve.

run.sh runs this with any Python 3: `python -m utils.serve.state welcome RUN_DIR` asks the service
for an answer and prints how to reach it; `facts` and the name of a field print these.
"""

import os
import re
import socket
import sys
import time
from pathlib import Path
from shlex import quote
from typing import Any

from utils.files import read_file

AS_ROOT = "runs as root, and so does any fault in it: better start it as a user of its own"
ANSWER_TIMEOUT = 10.0
FORM = re.compile(
    "name=(?P<name>.*)\npid=(?P<pid>[0-9]{1,9})\nstarted=(?P<started>[0-9]{1,12})\n"
    "reloads=(?P<reloads>[0-9]{1,9})\naddress=(?P<address>.*)\nworkers=(?P<workers>[0-9 ]*)\n"
)
State = dict[str, str]


def as_text(**fields: object) -> str:
    return "".join(f"{name}={value}\n" for name, value in fields.items())


def read(folder: Path) -> State:
    """Return what the file in this folder tells; nothing if nobody serves.

    Nothing also if it is not what a master of ours writes: nothing of it goes to a terminal.
    """
    try:
        text = read_file(folder / "state")
    except OSError:
        return {}
    found = FORM.fullmatch(text)
    return found.groupdict() if found and text.replace("\n", "").isprintable() else {}


def facts(state: State) -> str:
    uptime = int(time.time()) - int(state["started"])
    rows = "".join(f"  {name:9}{state[name]}\n" for name in ("pid", "address", "workers"))
    return f"{rows}  uptime   {uptime} s"


def welcome(state: State) -> str:
    """Describe where the service is, and a command that tries it."""
    url, option = state["address"], ""
    if path := unix_path(url):
        url, option = "http://localhost", f"--unix-socket {quote(path)} "
    return (
        f"{state['name']} is up at {state['address']} (pid {state['pid']}); try\n"
        f"curl {option}{url}/test -d '{{\"order_id\":12345}}'"
    )


def client_address(listener: str) -> str:
    """Return the address for clients: one that listens on all interfaces is local too."""
    return listener.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def unix_path(address: str) -> str:
    """Return the path of a Unix socket's address, nothing for another one."""
    return address.removeprefix("unix:") if address.startswith("unix:") else ""


def answers(address: str) -> bool:
    """Return whether the service answers there: a port can be open with nobody behind it."""
    family, target = socket_address(address)
    try:
        with socket.socket(family) as sock:
            sock.settimeout(ANSWER_TIMEOUT)
            sock.connect(target)
            sock.sendall(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            with sock.makefile("rb") as file:
                return file.readline(100).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def socket_address(address: str) -> tuple[socket.AddressFamily, Any]:
    """Return what a socket needs to connect to this address."""
    if path := unix_path(address):
        return socket.AF_UNIX, path
    host, _, port = address.removeprefix("http://").rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return family, (host.strip("[]"), int(port))


def main(what: str, folder: Path) -> None:
    """Print what is asked for; exit with 1 if the service does not serve."""
    state = read(folder)
    if not state or (what == "welcome" and not answers(state["address"])):
        sys.exit(1)
    values = {**state, "welcome": welcome(state), "facts": facts(state)}
    print(values[what], flush=True)  # noqa: T201
    if what == "welcome" and os.geteuid() == 0:
        sys.stderr.write(f"{state['name']} {AS_ROOT}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
