"""A TCP proxy that delays, stalls or resets what goes through it."""

import random
import socket
import struct

import gevent
from gevent.event import Event
from gevent.server import StreamServer

RESET = struct.pack("ii", 1, 0)  # SO_LINGER with 0 seconds: closing sends RST


class Proxy:
    """Forwards connections from a port of 127.0.0.1 to another, as well as it is told to."""

    def __init__(self, port: int, target: int) -> None:
        self.target = target
        self.delay = 0.0
        self.resets = 0.0  # the share of chunks at which a connection is reset
        self.flowing = Event()
        self.flowing.set()
        self.connections: set[socket.socket] = set()
        self.port = port
        self.open()

    def open(self) -> None:
        """Accept connections."""
        self.server = StreamServer(("127.0.0.1", self.port), self.forward)
        self.server.start()

    def forward(self, client: socket.socket, _: object) -> None:
        """Serve one connection until either side ends it."""
        upstream = socket.socket()
        self.connections |= {client, upstream}
        try:
            self.flowing.wait()
            upstream.connect(("127.0.0.1", self.target))
            pumps = [
                gevent.spawn(self.pump, client, upstream),
                gevent.spawn(self.pump, upstream, client),
            ]
            gevent.joinall(pumps, count=1)
            gevent.killall(pumps)
        except OSError:
            pass
        finally:
            self.connections -= {client, upstream}
            client.close()
            upstream.close()

    def pump(self, source: socket.socket, target: socket.socket) -> None:
        """Copy one direction."""
        try:
            while chunk := source.recv(65536):
                if self.delay:
                    gevent.sleep(self.delay)
                self.flowing.wait()
                if self.resets and random.random() < self.resets:
                    return self.reset(source, target)
                target.sendall(chunk)
        except OSError:
            return None

    def reset(self, *sockets: socket.socket) -> None:
        """Reset these connections."""
        for sock in sockets:
            if sock.fileno() < 0:
                continue  # closed already, by whoever reset it first
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.close()

    def hang(self) -> None:
        """Be a black hole: accept connections, and let nothing through."""
        self.flowing.clear()

    def go_on(self) -> None:
        """Let everything through again."""
        self.flowing.set()

    def close(self) -> None:
        """Stop, and reset what is open."""
        self.server.close()
        self.reset(*self.connections)
        self.flowing.set()
