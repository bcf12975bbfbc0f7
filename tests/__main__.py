"""`python -m tests` runs all tests in several processes at once, and prints what each printed.

With --mysql it runs those of the data, on MySQL.

They mostly wait for servers to start and stop: four processes at once take less than half the
time of one on two cores. pytest-xdist does not work in a process that gevent has patched.
"""

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

Run = tuple["subprocess.Popen[bytes]", IO[str]]

PROCESSES = 4
LONGEST_RUN = 900  # seconds; a single test has its own limit in conftest.py
FOLDER = Path(__file__).parent
DATA = ("mysql/", "example/", "dev/test_mysql.py", "dev/test_local_servers.py")


def main() -> int:
    """Return the exit status: 0 if all have passed."""
    options = sys.argv[1:]
    files = [path for path in sorted(FOLDER.rglob("test_*.py")) if "template" not in path.parts]
    if options:
        files = [path for path in files if str(path.relative_to(FOLDER)).startswith(DATA)]
    with ExitStack() as stack:
        parts = [[*options, *map(str, files[number::PROCESSES])] for number in range(PROCESSES)]
        runs = [start(part, stack) for part in parts]
        return max(finish(*run) for run in runs)


def start(arguments: list[str], stack: ExitStack) -> Run:
    """Start pytest; what it prints goes to a temporary file."""
    output = stack.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115  closed by the stack
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.Popen(command, stdout=output, stderr=output), output


def finish(process: "subprocess.Popen[bytes]", output: IO[str]) -> int:
    """Wait for pytest to end, print what it printed, and return its exit status."""
    try:
        return process.wait(LONGEST_RUN)
    except subprocess.TimeoutExpired:
        process.kill()
        print(f"\nthis did not end in {LONGEST_RUN} s:")
        return 1
    finally:
        output.seek(0)
        sys.stdout.write(output.read())


if __name__ == "__main__":
    sys.exit(main())
