"""The certificates of an upstream's connections."""

import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any

from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

from utils.log import logger
from utils.turns import FairReads


class TLSSocket(FairReads, ssl.SSLSocket):
    """A socket that is closed when its handshake is cut: gevent closes it for an OSError alone."""

    def do_handshake(self, *args: Any) -> None:
        try:
            super().do_handshake(*args)
        except BaseException:  # a deadline
            self.close()
            raise


class TLS:
    """The context of an upstream's connections, of the files as they are now."""

    def __init__(self, ca_file: str, cert: str | tuple[str, str]) -> None:
        """Load the files; OSError, ssl.SSLError among them, if one is not as it has to be."""
        certificate, key = (cert, "") if isinstance(cert, str) else cert  # one file may hold both
        self.files = ca_file or DEFAULT_CA_BUNDLE_PATH, certificate, key
        self.loaded = self.load()

    def context(self) -> ssl.SSLContext:
        """Return the context, with renewed files: client certificates often live for a day only."""
        try:
            self.loaded = self.load()
        except OSError as error:
            logger.error("certificates cannot be renewed, the former stay: %s", error)
        return self.loaded

    def load(self) -> ssl.SSLContext:
        changed_at = [Path(file).stat().st_mtime_ns for file in self.files if file]
        return load_context(*self.files, *changed_at)


@lru_cache  # to load the public authorities takes 20 ms
def load_context(ca_file: str, certificate: str, key: str, *changed_at: int) -> ssl.SSLContext:
    """Load the files, anew if one was changed at another time."""
    context = create_urllib3_context()
    context.sslsocket_class = TLSSocket
    context.load_verify_locations(ca_file)
    if certificate:
        # An empty password: without one, OpenSSL would ask for it at the terminal.
        context.load_cert_chain(certificate, key or None, password="")
    return context
