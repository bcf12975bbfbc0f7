"""What the README and the other pages say is true: commands, examples, tables, instructions."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

from conf.setting import settings_of
from conf.settings import Settings
from tests.support.service import ROOT, Service
from tests.template.conftest import Clone
from utils import errors
from utils.errors import ServiceError

README = (ROOT / "README.md").read_text()
OPERATION = (ROOT / "docs/operation.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# All of them are imported, and those run that take no server; the whole suite takes minutes.
IMPORT_TESTS = "sh run.sh test --collect-only"
QUICK_TESTS = (
    "sh run.sh test tests/conf tests/test_*.py tests/web/test_[abcdefns]*.py"
    " tests/dev/test_running.py tests/run/test_verbs.py"
)


def test_the_readme_is_read_in_five_minutes_and_shows_a_command_by_line_10() -> None:
    lines = README.splitlines()
    assert len(lines) <= 130
    assert "/test -d" in "\n".join(lines[:10])


def test_the_quick_start_prints_what_it_says(service: Service) -> None:
    (block,) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
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


def add_the_route(copy: Service | Clone) -> None:
    """Follow "Add a route" to the letter."""
    api, route, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    with (copy.root / "api.py").open("a") as file:
        file.write(f"\n\n{api}")
    copy.edit("api.py", "ConflictError, NotFound", "ProcessError, ConflictError, NotFound")
    copy.edit("server.py", "\n\n\ng_server", f"\n\n{route.rstrip()}\n\n\ng_server")
    copy.edit("server.py", "ShowOrder, TestApi", "ShowOrder, TestApi, PriceOrder")


@pytest.fixture(scope="module")
def with_route() -> Iterator[Service]:
    """A started service with the route that the README adds."""
    service = Service(WORKERS=1)
    add_the_route(service)
    service.sh("start", check=True)
    yield service
    service.remove()


@pytest.mark.parametrize(
    ("path", "body", "status", "answer"),
    [
        ("/orders/2/price", None, 200, {"price": "19.00 EUR"}),
        ("/orders/200/price", None, 400, "count: expected int <= 100"),
        ("/orders/2/price?currency=DM", None, 422, "no prices in DM"),
        ("/orders/2/price", '{"currency":"DM"}', 422, "no prices in DM"),
    ],
)
def test_the_route_that_it_adds_answers(
    with_route: Service, path: str, body: str | None, status: int, answer: object
) -> None:
    got, envelope, _ = with_route.request(path, body, "POST" if body else "GET")
    assert got == status
    assert answer in (envelope["data"], envelope["err_msg"])


def test_a_clone_with_the_route_that_it_adds_passes_the_tests_and_the_checks(clone: Clone) -> None:
    add_the_route(clone)
    clone.sh("sh run.sh check")
    clone.sh(IMPORT_TESTS)
    clone.sh(QUICK_TESTS)


def test_a_clone_without_the_orders_passes_the_tests_and_the_checks(clone: Clone) -> None:
    for command in re.findall(r"`(rm -r [^`]*)`", README):
        clone.sh(command)
    api, server = clone.root / "api.py", clone.root / "server.py"
    api.write_text(api.read_text().split("\n\n# The example")[0])
    before, _, rest = server.read_text().partition("\n\n    # The example")
    server.write_text(before + rest[rest.index("\n\n\ng_server") :])
    delete_imports_that_the_check_calls_unused(clone)
    assert "rder" not in re.sub("order_id|an order", "", api.read_text() + server.read_text())
    clone.sh("sh run.sh check")
    clone.sh(IMPORT_TESTS)
    clone.sh(QUICK_TESTS)


def delete_imports_that_the_check_calls_unused(clone: Clone) -> None:
    clone.sh('"$VENV/bin/ruff" check --quiet --select F401 --fix api.py server.py')


def test_a_clone_of_somebody_s_own_passes_the_tests(clone: Clone) -> None:
    (clone.root / "README.md").write_text("# Orders\n")
    (clone.root / "models.py").write_text('class Shop:\n    name = "north"\n')
    (clone.root / "Dockerfile").write_text("FROM scratch\n")
    clone.edit("api.py", "from utils.web", "import models  # noqa: F401\nfrom utils.web")
    (settings,) = re.findall(r"```python\n(.*?class Settings.*?)```", OPERATION, re.DOTALL)
    (clone.root / "conf/settings.py").write_text(f'"""Settings."""\n\n{settings}')
    clone.sh("chown -R nobody . || true; SUPPLIER_KEY=x sh run.sh config >config.txt")
    for row in ("GREETING  *Hello ", "SERVICE_NAME  *orders ", r"SUPPLIER_KEY  *\*\*\* "):
        clone.sh(f"grep '^{row}' config.txt")
    clone.sh("sh run.sh check")
    clone.sh(QUICK_TESTS)


def test_the_table_of_codes_is_the_tree_of_errors() -> None:
    rows = re.findall(r"^\| (-?\d+) \| (\d+) \| (.+?) \|$", README, re.MULTILINE)
    tree = [cls for cls in vars(errors).values() if has_a_code(cls)]
    told = [(str(cls.err_code), str(cls.status), words(cls)) for cls in tree]
    expected = [("0", "200", "ok"), *told]
    assert [(code, status, when.lower()) for code, status, when in rows] == expected


def has_a_code(value: object) -> TypeGuard[type[ServiceError]]:
    """Return whether this is an error class with a code of its own; HTTP's have the status."""
    return (
        isinstance(value, type)
        and issubclass(value, ServiceError)
        and "err_code" in vars(value)
        and not issubclass(value, errors.HTTPError)
    )


def words(cls: type[ServiceError]) -> str:
    """Return what a class says of itself, as the table does."""
    return " ".join((cls.__doc__ or "").split()).rstrip(".").lower()


def test_the_verbs_are_those_of_run_sh() -> None:
    usage = re.search(r"usage: sh run.sh ([a-z|]+)", (ROOT / "run.sh").read_text())
    assert usage
    table = README.split("| command | what it does |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `sh run\.sh ([a-z]+)", table, re.MULTILINE)) == set(
        usage[1].split("|")
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_setting_and_verb_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", text):
        assert (page.parent / target).exists(), target
    for name in re.findall(r"`([a-z_./]+/|[\w./]+\.(?:py|sh|toml|md|txt|lock|conf))`", text):
        assert (ROOT / name).exists() or "/" not in name.rstrip("/"), name
    names = {setting.name for setting in settings_of(Settings)}
    for name in re.findall(r"`((?:MYSQL|REDIS|LOG|SERVER)_[A-Z_]+)(?:=[^`]*)?`", text):
        assert name.removesuffix("_FILE") in names, name
    verbs = re.search(r"usage: sh run.sh ([a-z|]+)", (ROOT / "run.sh").read_text())
    assert verbs
    assert set(re.findall(r"sh run\.sh ([a-z]+)", text)) <= set(verbs[1].split("|"))


def test_the_example_of_an_env_file_is_up_to_date(service: Service) -> None:
    printed = service.sh("config", "--example", check=True).stdout
    assert (ROOT / ".env.example").read_text() == printed


FIXED = """app.py server.py decorator.py api.py utils conf gunicorn_conf.py run.sh supervisord.conf
tests requirements.txt requirements.lock README.md CONTRIBUTING.md CHANGELOG.md LICENSE docs
pyproject.toml .gitignore .editorconfig .env.example .ci"""


def test_the_top_level_is_the_fixed_one() -> None:
    tracked = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    top = {line.split("/")[0] for line in tracked.splitlines()}
    assert set(FIXED.split()) <= top <= {*FIXED.split(), "bench", "deploy"}


def test_the_version_stands_in_one_place_and_has_an_entry_in_the_changelog() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text()
