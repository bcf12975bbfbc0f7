"""What the service can be told: a field is a setting, named in capitals in the environment."""

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from msgspec import Meta, Struct

from conf.environ import Secret, SettingsError, load

ROOT = Path(__file__).parent.parent
# Kept apart from os.environ, so that a reload sees what was changed or taken out.
DOTENV = dotenv_values(os.environ.get("ENV_FILE", ROOT / ".env"), interpolate=False)


class Settings(Struct, frozen=True, kw_only=True):
    """The service's settings, checked. A setting without a default has to be given."""

    server_ip: Annotated[str, Meta(min_length=1, description="address to listen on")] = "127.0.0.1"
    server_port: Annotated[int, Meta(ge=1, le=65535, description="port to listen on")] = 10001
    workers: Annotated[int, Meta(ge=1, le=512, description="worker processes")] = 2
    worker_connections: Annotated[
        int, Meta(ge=1, description="open connections a worker serves at once")
    ] = 1000
    worker_timeout: Annotated[
        int, Meta(ge=1, description="seconds a worker may hang before it is replaced")
    ] = 30
    keepalive: Annotated[
        int, Meta(ge=1, description="seconds an idle connection stays open, or a head may take")
    ] = 5
    graceful_timeout: Annotated[
        int, Meta(ge=1, description="seconds requests in flight get to finish at a stop")
    ] = 30
    trusted_proxies: Annotated[
        str, Meta(description="proxies whose X-Forwarded-Proto counts: addresses, networks, commas")
    ] = ""
    max_body_bytes: Annotated[int, Meta(ge=1, description="largest request body, in bytes")] = (
        1 << 20
    )
    request_timeout: Annotated[
        float, Meta(gt=0, description="seconds a request may take as a whole")
    ] = 10.0

    mysql_host: Annotated[str, Meta(description="MySQL's host; without one it is not used")] = ""
    mysql_port: Annotated[int, Meta(ge=1, le=65535, description="MySQL's port")] = 3306
    mysql_user: Annotated[str, Meta(description="MySQL's user")] = "pyserver"
    mysql_password: Annotated[Secret, Meta(description="MySQL's password")] = Secret("")
    mysql_database: Annotated[str, Meta(description="MySQL's database")] = "pyserver"
    mysql_tls: Annotated[
        Literal["off", "on", "verify"],
        Meta(description="encrypt to MySQL; verify checks its certificate too"),
    ] = "off"
    mysql_tls_ca: Annotated[
        str, Meta(description="file of the authority that signed MySQL's certificate")
    ] = ""
    mysql_pool_size: Annotated[
        int, Meta(ge=1, description="connections to MySQL of a worker, at most")
    ] = 10
    mysql_pool_timeout: Annotated[
        float, Meta(gt=0, description="seconds a request waits for one of them")
    ] = 2.0
    mysql_connect_timeout: Annotated[
        float, Meta(gt=0, description="seconds to connect to MySQL and log in")
    ] = 2.0
    mysql_read_timeout: Annotated[
        float, Meta(gt=0, description="seconds MySQL may take for a statement")
    ] = 5.0
    mysql_write_timeout: Annotated[
        float, Meta(gt=0, description="seconds MySQL may take to read a statement")
    ] = 5.0
    mysql_slow_ms: Annotated[
        float, Meta(ge=0, description="milliseconds from which a statement is logged as slow")
    ] = 500.0
    log_sql_values: Annotated[bool, Meta(description="log the values of statements too")] = False

    redis_host: Annotated[str, Meta(description="Redis's host; without one it is not used")] = ""
    redis_port: Annotated[int, Meta(ge=1, le=65535, description="Redis's port")] = 6379
    redis_password: Annotated[Secret, Meta(description="Redis's password")] = Secret("")
    redis_db: Annotated[int, Meta(ge=0, description="Redis's database number")] = 0
    redis_pool_size: Annotated[
        int, Meta(ge=1, description="connections to Redis of a worker, at most")
    ] = 50
    redis_timeout: Annotated[
        float, Meta(gt=0, description="seconds Redis may take for a command")
    ] = 0.5

    run_dir: Annotated[str, Meta(min_length=1, description="folder of the pid file")] = "run"
    log_dir: Annotated[str, Meta(min_length=1, description="folder of the log files")] = "logs"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="least level that is logged")
    ] = "INFO"
    log_format: Annotated[
        Literal["text", "json"], Meta(description="a log line as text, or as a JSON object")
    ] = "text"
    log_keep_days: Annotated[int, Meta(ge=1, description="days that a log file is kept")] = 14

    def __post_init__(self) -> None:
        """Check what one field alone cannot tell."""
        if self.keepalive >= self.graceful_timeout:
            raise ValueError(
                f"KEEPALIVE={self.keepalive}: expected less than "
                f"GRACEFUL_TIMEOUT={self.graceful_timeout}, or idle clients stall a stop"
            )
        for proxy in filter(None, self.trusted_proxies.split(",")):
            try:
                ip_network(proxy.strip())
            except ValueError as error:
                raise ValueError(f"TRUSTED_PROXIES: {error}") from None


def __getattr__(name: str) -> Settings:
    """Load `settings` at first use: `python -m conf` must be able to speak of wrong ones."""
    if name != "settings":
        raise AttributeError(name)
    try:
        settings = load(Settings, os.environ, DOTENV)
    except SettingsError as error:
        raise SystemExit(str(error)) from None
    globals()[name] = settings
    return settings
