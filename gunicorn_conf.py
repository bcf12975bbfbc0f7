"""gunicorn's settings; its master reads this file at the start and again at each reload."""

import gc
import os
import sys
from typing import Any

# A reload must not find the modules of the first reading.
for module in [name for name in sys.modules if name.split(".")[0] in ("conf", "utils")]:
    del sys.modules[module]

from conf import ROOT
from conf.current import settings
from conf.setting import unknown_names
from conf.settings import Settings
from utils import context, log
from utils.serve import address, arbiter, loading, state

loading.check_kept()
log.check()  # here, for `restart` and `reload` ask --check-config before they stop anything

bind = address.bind()
umask = 0o777 - int(settings.server.socket_mode, 8)  # gunicorn's files have 600 in any case
chdir = str(ROOT)
proc_name = settings.service_name
logger_class = "utils.serve.logger.Logger"

worker_class = "utils.serve.worker.Worker"
workers = settings.workers
worker_connections = settings.worker_connections
# A worker's heartbeat is the time of a file: on a busy disk it could come too late.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
timeout = settings.worker_timeout
graceful_timeout = settings.graceful_timeout + 2  # the master's: the workers end before it kills
keepalive = settings.keepalive

control_socket_disable = True  # its path is the same one for all gunicorns of a user
http_parser = "python"  # "auto" would take another one, that happens to be installed
forwarded_allow_ips = settings.trusted_proxies
forwarder_headers = ""  # a SCRIPT_NAME header from a trusted proxy would change every path


def on_starting(server: Any) -> None:
    """Set up the master."""
    if os.geteuid() == 0:
        log.logger.warning("%s %s", settings.service_name, state.AS_ROOT)
    for name in unknown_names(Settings, os.environ.keys() - {"SERVER_SOFTWARE"}):  # gunicorn's own
        log.logger.warning("%s is set in the environment but is not a setting", name)
    address.check()
    arbiter.install(server)


def on_reload(server: Any) -> None:
    """Let go of the modules of the last reading."""
    gc.collect()  # modules are reference cycles: up to 16 MB of old ones waited for the collector


def post_fork(server: Any, worker: Any) -> None:
    """Set up a worker."""
    log.setup()
    context.setup()


def post_worker_init(worker: Any) -> None:
    """Warn in the log if the schema is behind or ahead of this code."""
    from gevent import spawn  # noqa: PLC0415  the master must not load what a worker patches

    from utils.mysql import warn_if_behind  # noqa: PLC0415

    spawn(warn_if_behind)
