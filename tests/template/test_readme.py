"""The README's commands, example and tables are true."""

import json
import re
import shlex
import subprocess
import sys

from conf.setting import settings_of
from conf.settings import Settings
from tests.support.service import ROOT, Service

README = (ROOT / "README.md").read_text()


def test_the_quick_start_prints_what_it_says(service: Service) -> None:
    (block,) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    assert "/test -d" in "\n".join(README.splitlines()[:10])
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:]
    for command, shown in zip(parts[::2], parts[1::2], strict=True):
        here = command.replace("10001", str(service.port))
        printed = subprocess.run(
            shlex.split(here), cwd=service.root, env=service.env, capture_output=True, text=True
        ).stdout
        assert same_form(printed) == same_form(shown.replace("10001", str(service.port)))


def same_form(text: str) -> str:
    """Leave out what differs from run to run."""
    text = re.sub(r"\(pid \d+\)", "(pid)", text)
    text = re.sub(r'"uuid":"[0-9a-f-]{36}"', '"uuid":""', text)
    return re.sub(r'"timestamp":\d{10},"result":-?[01]\}\}\n?', '"timestamp":0,"result":0}}', text)


def test_the_route_that_it_adds_works(service: Service) -> None:
    api, route, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    with (service.root / "api.py").open("a") as file:
        file.write(f"\n\n{api}")
    service.edit(
        "api.py",
        "from utils.web import",
        "from utils.errors import ProcessError\nfrom utils.web import",
    )
    service.add_to_server(route)
    service.edit("server.py", "from api import ", "from api import PriceOrder, ")
    assert len(route.splitlines()) == 3
    service.sh("start", check=True)
    for status, err_code, path in (
        (200, 0, "/orders/2/price"),
        (400, -4, "/orders/200/price"),
        (422, -3, "/orders/2/price?currency=DM"),
    ):
        got, envelope, _ = service.request(path, body=None, method="GET")
        assert (got, envelope["err_code"]) == (status, err_code)
        if status == 200:
            assert envelope["data"] == {"price": "19.00 EUR"}
    body = json.dumps({"currency": "DM"})
    assert service.request("/orders/2/price", body)[1]["err_msg"] == "no prices in DM"


def test_the_settings_are_all_there_with_their_defaults() -> None:
    section = README.split("## Settings")[1].split("## ")[0]
    told = dict(re.findall(r"`([A-Z_]+)=(.*?)`", section))
    defaults = {s.name: shown(s.default) for s in settings_of(Settings)}
    assert told == defaults


def shown(default: object) -> str:
    """Return a default as one would write it into the environment."""
    if isinstance(default, bool):
        return str(int(default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_the_orders_leave_without_a_trace(service: Service) -> None:
    api, server = service.root / "api.py", service.root / "server.py"
    api.write_text(api.read_text().split("\n\n# The example")[0] + "\n")
    routes, _ = server.read_text().split("\n\n    # The example")
    server.write_text(f"{routes}\n\n\ng_server = Server()\n")
    (service.root / "conf/migrations/0001_create_orders.sql").unlink()
    ruff = [sys.executable, "-m", "ruff", "check", "--quiet", "--fix", "api.py", "server.py"]
    subprocess.run(ruff, cwd=service.root, check=True)
    left = api.read_text() + server.read_text()
    assert "rder" not in re.sub("order_id|an order", "", left)
    service.sh("start", check=True)
    assert service.request()[0] == 200
    assert service.request("/orders", None, "GET")[0] == 404


def test_the_verbs_are_those_of_run_sh() -> None:
    usage = re.search(r"usage: sh run.sh ([a-z|]+)", (ROOT / "run.sh").read_text())
    assert usage
    named = set(re.findall(r"sh run\.sh ([a-z]+)", README))
    assert named == set(usage[1].split("|"))


def test_the_files_of_the_layout_are_there() -> None:
    layout = README.split("| file | what is in it |")[1].split("\n\n")[0]
    names = re.findall(r"^\| (.*?) \|", layout, re.MULTILINE)
    for name in re.findall(r"`(.*?)`", " ".join(names)):
        assert (ROOT / name).exists(), name


FIXED = """app.py server.py decorator.py api.py utils conf gunicorn_conf.py run.sh supervisord.conf
tests requirements.txt README.md pyproject.toml CHANGELOG.md LICENSE .gitignore .editorconfig .ci"""


def test_the_top_level_is_the_fixed_one() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    top = {line.split("/")[0] for line in tracked.splitlines()}
    assert set(FIXED.split()) <= top <= {*FIXED.split(), "bench", "deploy"}
