"""Whether code and settings load, and suit a reload: tried in a process of its own."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from msgspec.structs import asdict

from conf.current import settings

KEPT = "KEPT_SETTINGS"  # JSON, in the environment of the process that tries it
# Frames of a traceback that lead to ours.
FOREIGN = re.compile(
    r'  File "(?:<frozen |[^"]*/(?:site-packages/gunicorn|python3[.0-9]*/importlib)/).*\n'
    r"(?:    .*\n)*"
)


def kept() -> dict[str, Any]:
    """Return the settings that a reload cannot change, by NAME."""
    server = {f"SERVER_{name.upper()}": value for name, value in asdict(settings.server).items()}
    return {"RUN_DIR": settings.run_dir, **server}


def check_kept() -> None:
    """Exit if this is the trial of a reload that cannot do what the settings say."""
    before = json.loads(os.environ.get(KEPT, "{}"))
    if changed := [name for name in before if before[name] != kept().get(name)]:
        sys.exit(f"a new {', '.join(changed)} needs a restart")


def fault(timeout: float, given_up: Callable[[], bool]) -> str:
    """Return why a reload would fail, or nothing."""
    command = [sys.executable, "-m", "gunicorn", "--check-config", *sys.argv[1:]]
    env = {**os.environ, KEPT: json.dumps(kept())}
    deadline = time.monotonic() + timeout
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=env) as process:
        while time.monotonic() < deadline and not given_up():
            with suppress(subprocess.TimeoutExpired):
                errors = process.communicate(timeout=0.1)[1].decode(errors="replace")
                lines = filter(str.strip, FOREIGN.sub("", errors).splitlines())
                status = process.returncode
                return "\n".join(lines) or f"exit status {status}" if status else ""
        process.kill()
    return "" if given_up() else f"no end after {timeout} seconds"
