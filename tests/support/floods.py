"""Servers that send faster than a client can read, each a process of its own.

In the client's process they would take turns with it; here, nothing makes the client stop.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SERVER = """
import socket, sys
head, part = (text.encode().decode("unicode_escape").encode("latin-1") for text in sys.argv[1:])
part *= 1 + 65536 // len(part)
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    client, _ = server.accept()
    try:
        client.sendall(head)
        while True:
            client.sendall(part)
    except OSError:
        client.close()
"""


@contextmanager
def flood(head: str, part: str) -> Iterator[str]:
    """Yield the URL of a server that answers with the head and then the part, without end."""
    texts = [text.encode("unicode_escape").decode() for text in (head, part)]
    command = [sys.executable, "-c", SERVER, *texts]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()
