"""A MySQL of today for `sh run.sh test --mysql`: the one in PATH, or Debian's, into a cache.

Nothing of the system is touched: apt-get works on folders of our own, and the packages are
unpacked beside each other. The programs run with the libraries that came with them.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from shlex import quote

from tests.support.programs import need
from utils.dev.commands import run

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyserver"
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
SOURCE = f"deb [signed-by={KEYS}] http://deb.debian.org/debian sid main\n"
PACKAGES = ("mysql-server-core", "mysql-client-core")
PROGRAMS = ("sbin/mysqld", "bin/mysql", "bin/mysqldump")
# An empty status file: to this apt-get nothing is installed, so that all libraries come too.
APT = """
Dir::Etc::SourceList "{work}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{work}/state";
Dir::State::status "{work}/status";
Dir::Cache "{work}/cache";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
"""
# --basedir is where the server finds its messages; --no-defaults has to stay the first option.
SCRIPT = """#!/bin/sh
root={root}
[ "$1" != --no-defaults ] || shift
case $0 in */mysqld) set -- --basedir="$root/usr" "$@" ;; esac
exec "$root"/usr/lib*/ld-linux-*.so.* --library-path "$(echo "$root"/usr/lib/*-linux-gnu)" \\
    "$root/usr/{program}" --no-defaults "$@"
"""


def provide_mysql() -> None:
    """Put a MySQL before whatever else has its name in PATH, such as MariaDB."""
    if not is_mysql("mysqld"):
        os.environ["PATH"] = f"{installed() / 'bin'}{os.pathsep}{os.environ['PATH']}"


def is_mysql(program: str) -> bool:
    if not shutil.which(program):
        return False
    done = subprocess.run([program, "--no-defaults", "--version"], capture_output=True, text=True)
    return done.returncode == 0 and "MariaDB" not in done.stdout


def installed() -> Path:
    """Return the folder with Debian's MySQL, which is fetched once."""
    folder = CACHE / "mysql"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            print(f"Fetching Debian's MySQL into {folder} ...", file=sys.stderr)
            with tempfile.TemporaryDirectory(dir=CACHE) as work:
                made = fetch(Path(work))
                for program in PROGRAMS:
                    script = made / "bin" / Path(program).name
                    script.write_text(SCRIPT.format(root=quote(f"{folder}/root"), program=program))
                    script.chmod(0o755)
                made.rename(folder)
    return folder


def fetch(work: Path) -> Path:
    """Return a folder with Debian's packages, and all that they need, in its `root`."""
    need("apt-get", "dpkg-deb")
    for name in ("state/lists/partial", "cache/archives/partial", "made/root", "made/bin"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(SOURCE)
    (work / "apt.conf").write_text(APT.format(work=work))
    env = {**os.environ, "APT_CONFIG": str(work / "apt.conf")}
    run(["apt-get", "update"], env=env)
    run(["apt-get", "-y", "--download-only", "install", *PACKAGES], env=env)
    for archive in (work / "cache/archives").glob("*.deb"):
        if archive.name.startswith(("mysql", "lib", "zlib")):  # not the Perl of some scripts
            run(["dpkg-deb", "-x", str(archive), str(work / "made/root")])
    return work / "made"
