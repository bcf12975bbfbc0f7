"""Whether a password goes over a network in clear."""

from ipaddress import ip_address

from utils.log import logger


def is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def warn_of_clear_text(name: str, host: str | None, password: str | None) -> None:
    """Log a warning if a password goes to another host by a connection without TLS."""
    if password and host and not is_this_machine(host):
        logger.warning("%s: the password is sent unencrypted to another host", name)
