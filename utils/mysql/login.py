"""How connections to MySQL are made: TLS, and which ways to prove the password are allowed.

Whoever answers at MYSQL_HOST:MYSQL_PORT chooses how the password is proved. Two ways prove it by a
hash with a number of the server's. The others send it as it is, inside TLS or not, or encrypted for
whoever answers: they need a server that is verified, by its certificate or by its Unix socket.

Private attributes of PyMySQL: `_auth_plugin_name`, which the server's greeting names,
`_auth_plugin_map`, and `_read_packet`, for which `auth_plugin_map` has no public way.
"""

import ssl
from functools import cache
from typing import Any

from pymysql._auth import scramble_caching_sha2
from pymysql.constants import CLIENT, CR, FIELD_TYPE
from pymysql.converters import conversions
from pymysql.err import OperationalError

from conf.current import read_again, settings
from utils.errors import UnavailableError
from utils.passwords import is_this_machine


def options() -> dict[str, Any]:
    """Return what all connections to MySQL have in common, as the settings say."""
    host = settings.mysql.host
    if not host:
        raise UnavailableError("MySQL is not configured")
    is_socket, tls = host.startswith("/"), tls_mode()
    return {
        **({"unix_socket": host} if is_socket else {"host": host, "port": settings.mysql.port}),
        "user": settings.mysql.user,
        "database": settings.mysql.database,
        "charset": "utf8mb4",
        "autocommit": None,  # Connection.set_up sees to it
        "conv": {**conversions, FIELD_TYPE.BIT: int.from_bytes},  # BIT(1) is a bool's
        "client_flag": CLIENT.FOUND_ROWS,  # an UPDATE that changes nothing has found its row
        "connect_timeout": settings.mysql.connect_timeout,
        "ssl": tls_context(tls),
        "ssl_disabled": tls == "off",
        "auth_plugin_map": {} if is_socket or tls.startswith("verify") else UNVERIFIED,
    }


def password() -> bytes:
    """Return the password as it is now, in UTF-8; PyMySQL would encode it as Latin-1."""
    return read_again("MYSQL_PASSWORD", settings.mysql.password).encode()


def tls_mode() -> str:
    """Return off, on, verify-ca or verify; auto is off on this machine, and verify elsewhere."""
    host, tls = settings.mysql.host, settings.mysql.tls
    if host.startswith("/"):
        return "off"
    if tls != "auto":
        return tls
    return "off" if is_this_machine(host) else "verify"


@cache
def tls_context(tls: str) -> ssl.SSLContext | None:
    """Return the context that all connections share: making one takes longer than connecting."""
    if tls == "off":
        return None
    context = ssl.create_default_context(cafile=settings.mysql.tls_ca or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # MySQL's own certificates fail it
    context.check_hostname = tls == "verify"
    if tls == "on":
        context.verify_mode = ssl.CERT_NONE
    if settings.mysql.tls_cert:
        context.load_cert_chain(settings.mysql.tls_cert, settings.mysql.tls_key or None)
    return context


class Refused:
    """A method that would give the password to whoever answers."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def authenticate(self, packet: Any) -> Any:
        raise OperationalError(
            CR.CR_AUTH_PLUGIN_ERR,
            "the server wants the password itself, which it gets only over a Unix socket, or with"
            " MYSQL_TLS=verify or verify-ca",
        )


class FastLogin(Refused):
    """caching_sha2_password, as far as a hash is enough: if the server has seen the user before."""

    def authenticate(self, packet: Any) -> Any:
        """Return the server's last packet."""
        connection = self.connection
        if packet.is_auth_switch_request():
            salt = packet.read_all().removesuffix(b"\0")
            connection.write_packet(scramble_caching_sha2(connection.password, salt))
            packet = connection._read_packet()
        if packet.is_extra_auth_data():
            if packet.get_all_data() != b"\x01\x03":
                return super().authenticate(packet)
            packet = connection._read_packet()
        return packet


UNVERIFIED: dict[str, type[Refused]] = {
    "mysql_clear_password": Refused,
    "mysql_old_password": Refused,
    "dialog": Refused,
    "sha256_password": Refused,
    "caching_sha2_password": FastLogin,
}


def check_first_method(connection: Any) -> None:
    """Refuse the method for which PyMySQL sends the password in its first packet."""
    name = connection._auth_plugin_name
    if name == "sha256_password" and (refused := connection._auth_plugin_map.get(name)):
        refused(connection).authenticate(None)
