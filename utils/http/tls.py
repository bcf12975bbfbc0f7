"""The certificates of an upstream's connections."""

import ssl
from pathlib import Path
from typing import Any

from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

from utils.log import logger


class ClosingSocket(ssl.SSLSocket):
    """A socket that is closed when its handshake is cut: gevent closes it for an OSError alone."""

    def do_handshake(self, *args: Any) -> None:
        try:
            super().do_handshake(*args)
        except BaseException:  # a deadline
            self.close()
            raise


class TLS:
    """One context for all connections of an upstream: to load the public authorities takes 20 ms.

    It is loaded again when a file changes, for client certificates often live for a day only.
    """

    def __init__(self, ca_file: str, cert: str | tuple[str, str]) -> None:
        self.ca_file = ca_file or DEFAULT_CA_BUNDLE_PATH
        self.key: str | None
        # One file may hold both.
        self.cert, self.key = (cert, None) if isinstance(cert, str) else cert
        self.files = [file for file in (self.ca_file, self.cert, self.key) if file]
        self.loaded: tuple[list[int], ssl.SSLContext] | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context; OSError if it cannot be loaded, and never could."""
        try:
            changed_at = [Path(file).stat().st_mtime_ns for file in self.files]
            if self.loaded is None or self.loaded[0] != changed_at:
                self.loaded = changed_at, self.load()
        except OSError as error:
            if self.loaded is None:
                raise
            logger.error("certificates cannot be renewed, the former stay: %s", error)
        return self.loaded[1]

    def load(self) -> ssl.SSLContext:
        """Load the files; OSError, ssl.SSLError among them, if one is not as it has to be."""
        context = create_urllib3_context()
        context.sslsocket_class = ClosingSocket
        context.load_verify_locations(self.ca_file)
        if self.cert:
            # An empty password: without one, OpenSSL would ask for it at the terminal.
            context.load_cert_chain(self.cert, self.key, password="")
        return context
