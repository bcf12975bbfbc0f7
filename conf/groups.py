"""The template's settings, in groups: `settings.mysql.read_timeout` is MYSQL_READ_TIMEOUT.

A field is a type with its limits, the meaning that `sh run.sh config` prints, and a default; one
without a default has to be given. Settings of your own belong in conf/settings.py.
"""

import base64
import math
import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from conf import ROOT
from conf.setting import Secret
from conf.url import MYSQL_FORMS, REDIS_FORMS

Text = Annotated[str, Meta(min_length=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Milliseconds = Annotated[float, Meta(ge=0)]


def pem_file(path: str, label: str = "CERTIFICATE", what: str = "certificate") -> None:
    """Check that the file holds what it should; not by `ssl`, which a worker has to patch first."""
    if not path:
        return
    try:
        text = Path(path).read_text("ascii")
        found = re.findall(f"-----BEGIN {label}-----(.+?)-----END {label}-----", text, re.DOTALL)
        if not found or not all(base64.b64decode(block)[:1] == b"0" for block in found):
            raise ValueError
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "there is none in it"
        raise ValueError(f"expected a PEM file with a {what} ({reason})") from None


def key_file(path: str) -> None:
    """Check that the file holds a key that is not encrypted: OpenSSL would ask the terminal."""
    pem_file(path, "(?:RSA |EC )?PRIVATE KEY", "private key that is not encrypted")


def networks(text: str) -> None:
    """Check addresses and networks with commas between."""
    try:
        for network in filter(None, map(str.strip, text.split(","))):
            ip_network(network)
    except ValueError:
        raise ValueError("expected addresses or networks with commas between") from None


def host_name(text: str) -> None:
    """Check a host's name or IP address: no user, password, port or URL."""
    if ":" in text:
        networks(text.partition("%")[0])
    elif not re.fullmatch(r"[\w.-]*", text):
        raise ValueError("expected the name or IP address of a host and nothing else")


def host_or_socket(text: str) -> None:
    """Check the same, or the path of a Unix socket."""
    if not re.match("/[^/]", text):
        host_name(text)


# As browsers send them: scheme, host in small letters, and a port that is not the scheme's own.
ORIGIN = re.compile(
    r"(?!http:.*:80$|https:.*:443$)[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?"
)


def origins(text: str) -> None:
    """Check origins with commas between."""
    for origin in filter(None, map(str.strip, text.split(","))):
        if not ORIGIN.fullmatch(origin):
            raise ValueError("expected origins such as https://shop.example with commas between")


ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::([0-9]{1,5}))?")


def sentinel_addresses(text: str) -> list[tuple[str, int]]:
    """Return hosts and ports."""
    found = [ADDRESS.fullmatch(part.strip()) for part in text.split(",") if part.strip()]
    if not all(found):
        raise ValueError("expected host:port of each, with commas between")
    return [(match[1].strip("[]"), int(match[2] or 26379)) for match in found if match]


def socket_path(path: str) -> None:
    """Check that an address can hold the path: sun_path in unix(7)."""
    if len(os.fsencode(ROOT / path)) > 107:
        raise ValueError("expected a path of at most 107 bytes")


class Server(Struct, frozen=True, kw_only=True):
    """Where the service listens."""

    ip: Annotated[Text, host_name, "address to listen on"] = "127.0.0.1"
    port: Annotated[Port, "port to listen on"] = 10001
    socket: Annotated[str, socket_path, "Unix socket to listen on, in place of ip and port"] = ""
    socket_mode: Annotated[Literal["600", "660", "666"], "permissions of the Unix socket"] = "660"


class MySQL(Struct, frozen=True, kw_only=True):
    """MySQL or MariaDB; not used without a host."""

    url: Annotated[Secret, MYSQL_FORMS, "MySQL's URL, in place of host, port, user and so on"] = (
        Secret("")
    )
    host: Annotated[
        str, host_or_socket, "MySQL's host or Unix socket; MySQL is not used without one"
    ] = ""
    port: Annotated[Port, "MySQL's port"] = 3306
    user: Annotated[str, "MySQL's user"] = "pyserver"
    password: Annotated[Secret, "MySQL's password"] = Secret("")
    database: Annotated[str, "MySQL's database"] = "pyserver"
    tls: Annotated[
        Literal["auto", "off", "on", "verify-ca", "verify"],
        "encrypt to MySQL, verify its certificate; auto: off on this machine, else verify",
    ] = "auto"
    tls_ca: Annotated[str, pem_file, "PEM file of the authority behind MySQL's certificate"] = ""
    tls_cert: Annotated[str, pem_file, "PEM file of the certificate to show to MySQL"] = ""
    tls_key: Annotated[str, key_file, "PEM file of its key, if that is another one"] = ""
    pool_size: Annotated[Count, "connections to MySQL per worker, at most"] = 10
    pool_timeout: Annotated[Seconds, "seconds a request waits for a free connection"] = 2.0
    connect_timeout: Annotated[Seconds, "seconds to connect to MySQL and log in"] = 2.0
    read_timeout: Annotated[Seconds, "seconds MySQL may take to answer a statement"] = 5.0
    write_timeout: Annotated[Seconds, "seconds MySQL may take to accept a statement"] = 5.0
    slow_ms: Annotated[Milliseconds, "a statement that takes longer is logged as slow"] = 500.0

    @property
    def lock_wait(self) -> int:
        """Whole seconds that a lock is waited for: MySQL tells of it before its answer is late."""
        return max(1, math.ceil(self.read_timeout) - 1)

    def __post_init__(self) -> None:
        if self.tls == "verify-ca" and not self.tls_ca:  # anybody has a public one's certificate
            raise ValueError("MYSQL_TLS=verify-ca: expected MYSQL_TLS_CA, an authority of your own")
        check_certificate("MYSQL", self)


class Redis(Struct, frozen=True, kw_only=True):
    """Redis; not used without a host or sentinels."""

    url: Annotated[Secret, REDIS_FORMS, "Redis's URL, in place of host, port, user and so on"] = (
        Secret("")
    )
    host: Annotated[
        str, host_or_socket, "Redis's host or Unix socket; Redis is not used without one"
    ] = ""
    port: Annotated[Port, "Redis's port"] = 6379
    sentinels: Annotated[
        str, sentinel_addresses, "Sentinels, host:port with commas between, in place of a host"
    ] = ""
    sentinel_password: Annotated[Secret, "the Sentinels' password"] = Secret("")
    master: Annotated[str, "name of the master that the Sentinels watch"] = ""
    user: Annotated[str, "Redis's user; its default user if empty"] = ""
    password: Annotated[Secret, "Redis's password"] = Secret("")
    tls: Annotated[Literal["off", "verify"], "TLS to Redis, its certificate verified"] = "off"
    tls_ca: Annotated[str, pem_file, "PEM file of the authority behind Redis's certificate"] = ""
    tls_cert: Annotated[str, pem_file, "PEM file of the certificate to show to Redis"] = ""
    tls_key: Annotated[str, key_file, "PEM file of its key, if that is another one"] = ""
    db: Annotated[int, Meta(ge=0), "Redis's database number"] = 0
    prefix: Annotated[str, "what the cache's keys begin with; SERVICE_NAME if empty"] = ""
    pool_size: Annotated[Count, "connections to Redis per worker, at most"] = 50
    timeout: Annotated[Seconds, "seconds Redis may take for a command"] = 0.5

    @property
    def configured(self) -> bool:
        """Return whether Redis is used."""
        return bool(self.host or self.sentinels)

    def __post_init__(self) -> None:
        if self.host and self.sentinels:
            raise ValueError("REDIS_HOST, REDIS_SENTINELS: expected only one of them")
        if bool(self.sentinels) != bool(self.master):
            raise ValueError("REDIS_SENTINELS, REDIS_MASTER: expected both or none")
        check_certificate("REDIS", self)
        if self.tls != "off" and self.host.startswith("/"):
            raise ValueError("REDIS_TLS: expected off with a Unix socket")


def check_certificate(name: str, server: MySQL | Redis) -> None:
    """Check that a certificate of our own has what it needs."""
    if server.tls_key and not server.tls_cert:
        raise ValueError(f"{name}_TLS_KEY: expected {name}_TLS_CERT too")
    if server.tls == "off" and server.tls_cert:
        raise ValueError(f"{name}_TLS_CERT: expected {name}_TLS=verify")


class Log(Struct, frozen=True, kw_only=True):
    """What is logged, and where."""

    dir: Annotated[Text, "folder of the log files; - is stdout"] = "logs"
    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], "lowest level logged"] = "INFO"
    format: Annotated[Literal["text", "json"], "log lines as text or as JSON objects"] = "text"
    keep_days: Annotated[Count, "days that a log file is kept"] = 14
    sql_values: Annotated[bool, "log the values of SQL statements too"] = False


class TemplateSettings(Struct, frozen=True, kw_only=True):
    """All that the template itself can be told."""

    service_name: Annotated[Text, "name of the service, in its messages"] = "pyserver"
    server: Server
    workers: Annotated[int, Meta(ge=1, le=512), "worker processes"] = 2
    worker_connections: Annotated[Count, "open connections per worker, at most"] = 1000
    worker_timeout: Annotated[Count, "seconds a worker may hang before it is replaced"] = 30
    keepalive: Annotated[
        Count, "seconds an idle connection stays open, or a request's head may take"
    ] = 5
    graceful_timeout: Annotated[Count, "seconds that requests in flight get at a stop"] = 30
    trusted_proxies: Annotated[
        str,
        networks,
        "proxies whose X-Forwarded-For (or Forwarded) and X-Forwarded-Proto count, with commas",
    ] = ""
    allowed_origins: Annotated[
        str, origins, "web pages that may call, as https://shop.example, with commas between"
    ] = ""
    max_body_bytes: Annotated[Count, "largest request body, in bytes"] = 1 << 20
    max_body_values: Annotated[Count, "most JSON values that a field of a body may have"] = 15_000
    request_timeout: Annotated[Seconds, "seconds a request may take in all"] = 10.0
    run_dir: Annotated[Text, "folder of the pid file"] = "run"
    mysql: MySQL
    redis: Redis
    log: Log

    @property
    def uncertain_seconds(self) -> float:
        """How long a change that failed may still be made: then MySQL has ended what was given up.

        A statement may wait for its table and then for its row, for which InnoDB looks at the time
        once a second. It stands here, for utils/cache does not know MySQL.
        """
        locks = 2 * self.mysql.lock_wait + 1
        return self.mysql.connect_timeout + max(self.mysql.read_timeout, locks)
