"""The master reads gunicorn_conf.py, and with it conf and utils, again at each reload."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.required import required_settings
from tests.support.service import ROOT

REREAD = '''
import atexit, gc, json, logging, os, sys, types, warnings

import gevent
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.arbiter import Arbiter

sys.argv = ["gunicorn", "-c", "gunicorn_conf.py", "app:g_app"]
app = WSGIApplication()
master = Arbiter(app)
master.cfg.on_starting(master)

def spawn_calls():
    """Return the Python functions that run when a greenlet is made."""
    names = []
    sys.setprofile(lambda frame, event, _: event == "call" and names.append(frame.f_code.co_name))
    greenlet = gevent.spawn(int)
    sys.setprofile(None)
    greenlet.join()
    return names

def is_ours(found):
    return type(found) is types.ModuleType and found.__name__.split(".")[0] in ("conf", "utils")

def snapshot():
    loggers = [logging.root, *map(logging.getLogger, sorted(logging.root.manager.loggerDict))]
    return {
        "spawn_calls": spawn_calls(),
        "handlers": {logger.name: len(logger.handlers) for logger in loggers},
        "modules": sum(map(is_ours, gc.get_objects())),
        "files": len(os.listdir("/proc/self/fd")),
        "at_exit": atexit._ncallbacks(),
        "warnings": len(warnings.filters),
        "finders": [len(sys.meta_path), len(sys.path_hooks)],
    }

gevent.spawn(int).join()  # the first one makes the hub
snapshots = []
for _ in range(6):
    app.reload()
    master.setup(app)
    master.cfg.on_reload(master)
    snapshots.append(snapshot())
print(json.dumps(snapshots))
'''


def test_rereading_leaves_the_master_as_it_was(tmp_path: Path) -> None:
    folders = {"LOG_DIR": str(tmp_path / "logs"), "RUN_DIR": str(tmp_path / "run")}
    done = subprocess.run(
        [sys.executable, "-c", REREAD],
        cwd=ROOT,
        env={"PATH": "", "ENV_FILE": "/dev/null", **folders, **required_settings()},
        capture_output=True,
        text=True,
        check=True,
    )
    first, *others = json.loads(done.stdout)
    assert others == [first] * 5
    assert "inherit_context" not in first["spawn_calls"]
