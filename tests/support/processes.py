"""What runs on this machine, as /proc tells it."""

from pathlib import Path


def alive(pid: int) -> bool:
    """Return whether a process runs, zombies not counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def processes_in(folder: Path) -> dict[int, str]:
    """Return the command lines, by pid, of the processes that work in the folder or name it."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if str(folder) in command or str(folder) in str((process / "cwd").readlink()):
                found[int(process.name)] = command
        except OSError:  # it has ended, or is somebody else's
            continue
    return found
