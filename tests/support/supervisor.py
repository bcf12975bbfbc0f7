"""A supervisord that keeps a copy of the project up."""

import subprocess
import sys

from tests.support.service import Service, wait_until


class Supervisor:
    """The supervisord of `sh run.sh supervise`, and its supervisorctl."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.started = service.sh("supervise", check=True)

    def ctl(self, *command: str) -> str:
        """Call supervisorctl as its user does, in the folder and without settings."""
        return subprocess.run(
            [sys.executable, "-m", "supervisor.supervisorctl", *command],
            cwd=self.service.root,
            env={},
            capture_output=True,
            text=True,
        ).stdout

    def status(self) -> str:
        """Return supervisord's word for how the service is."""
        return self.ctl("status").split()[1]

    def await_service(self) -> int:
        """Wait until the service answers, and return its master's pid."""
        wait_until(lambda: self.status() == "RUNNING")
        wait_until(self.service.running_pid)
        assert self.service.request()[0] == 200
        return self.service.pid

    def shut_down(self) -> None:
        """End supervisord, and return when it is gone."""
        pid = self.ctl("pid")
        if pid.strip().isdigit():
            self.ctl("shutdown")
            wait_until(lambda: "no such file" in self.ctl("pid"))

    def remove(self) -> None:
        """End supervisord and all that it runs, and remove its folder."""
        self.shut_down()
        self.service.remove()
