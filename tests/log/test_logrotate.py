"""The real logrotate loses no line of a service that goes on answering."""

import gzip
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.programs import need
from tests.support.service import Load, Service, wait_until
from utils.dev.commands import which

CONFIG = """
"{folder}/*.log" {{
    rotate 1000
    missingok
    su {user} {group}
    {options}
}}
"""


def rotate(service: Service, options: str) -> None:
    config = service.folder / "logrotate.conf"
    user, group = (subprocess.getoutput(f"id -n{flag}") for flag in "ug")
    text = CONFIG.format(folder=service.folder / "logs", options=options, user=user, group=group)
    config.write_text(text)
    config.chmod(0o644)
    state = service.folder / "logrotate.state"
    command = [str(which("logrotate")), "--force", "--state", str(state), str(config)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done


def answered(folder: Path) -> list[str]:
    """Return the uuids of the requests in all files, compressed ones too."""
    texts = [
        gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
        for path in folder.glob("service-*")
    ]
    return re.findall(r" (\S+) \S+ POST /test 200 ", "".join(texts))


@pytest.mark.parametrize(
    "options",
    [
        "create\ncompress",
        "nocreate\ncompress",
        "create\ncompress\ndelaycompress",
        "create\ncompress\npostrotate\nkill -USR1 $(cat '{run}/pid')\nendscript",
    ],
)
def test_logrotate_loses_no_line(service: Service, options: str) -> None:
    need("logrotate")
    service.sh("start", check=True)
    with Load(service, keeping=4, closing=4) as load:
        for _ in range(8):
            wait_until(lambda: list((service.folder / "logs").glob("service-*.log")))
            rotate(service, options.format(run=service.folder / "run"))
    service.sh("stop", check=True)
    assert load.failures == []
    uuids = answered(service.folder / "logs")
    assert len(uuids) == len(set(uuids)) == load.answers
    assert len(list((service.folder / "logs").iterdir())) > 10
