"""The locks have what is asked for, pinned and with hashes, for every Python and system."""

import re
import subprocess
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.service import ROOT

FILES = ["requirements", "tests/requirements"]


def asked_for(name: str) -> list[Requirement]:
    lines = (ROOT / f"{name}.txt").read_text().splitlines()
    texts = [re.sub(r"\s*#.*|^-c .*", "", line) for line in lines]
    return [Requirement(text) for text in texts if text]


def locked(name: str) -> dict[str, str]:
    """Return the versions of a lock by package, each of which has hashes."""
    text = (ROOT / f"{name}.lock").read_text().replace("\\\n", " ")
    entries = re.findall(r"^([a-z0-9-]+)==(\S+).*--hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^[^\s#]", text, re.MULTILINE))
    return dict(entries)


@pytest.mark.parametrize("name", FILES)
def test_each_package_asked_for_is_locked_in_its_version(name: str) -> None:
    versions = locked(name)
    for requirement in asked_for(name):
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier


def test_what_the_packages_need_is_locked_too() -> None:
    versions = locked("requirements")
    for requirement in asked_for("requirements"):
        for extra in ("", *requirement.extras):
            for need in map(Requirement, requires(requirement.name) or ()):
                if need.marker is None or need.marker.evaluate({"extra": extra}):
                    assert versions[canonicalize_name(need.name)] in need.specifier


def test_both_locks_agree() -> None:
    one, other = map(locked, FILES)
    assert {name: one[name] for name in one.keys() & other.keys()} == {
        name: other[name] for name in one.keys() & other.keys()
    }


@pytest.mark.parametrize("name", FILES)
def test_a_lock_tells_what_it_was_made_from(name: str) -> None:
    command = f"sed 's/[[:space:]]*#.*//; /^$/d' {name}.txt | cksum"
    checksum = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert f"# of {name}.txt: {checksum}" in (ROOT / f"{name}.lock").read_text()


@pytest.mark.parametrize("name", FILES)
def test_a_lock_names_no_registry(name: str) -> None:
    assert not re.search("://|--index|--find-links", (ROOT / f"{name}.lock").read_text())
