# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What platforms themselves have written down, as recorders for the proof of operations: the API server's audit log, the events of a Docker
Engine, and the journals of hosts. What a test does by itself does not count where its platform can tell."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

from tests.fleet.kubernetes.objects import TRIAL_AGENT
from tests.fleet.systemd.layout import SERVICE_HOSTS
from tests.harness import coverage
from tests.harness.hosts import ComposeFleet, HostsFleet, SystemdFleet

METHODS = {"get": "GET", "list": "GET", "watch": "GET", "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
UNIT_ENDED = "7ad2d189f7e94e70a38c781354912448"      # SD_MESSAGE_UNIT_SUCCESS: by itself, or as it was asked to
Record = dict[str, t.Any]


class Audit:
    """Requests to the API server; those that only ask what would be are left out."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.began: dict[str, int] = {}

    def label(self, name: str) -> None:
        self.began.setdefault(name, self.log.stat().st_size)

    def records(self, name: str) -> list[Record]:
        time.sleep(0.5)     # it is written a moment later
        with self.log.open() as lines:
            lines.seek(self.began.get(name, 0))
            seen = [json.loads(line) for line in lines if line.endswith("\n")]
        return [
            {"method": METHODS.get(one["verb"], one["verb"]), "path": one["requestURI"], "status": one.get("responseStatus", {}).get("code")}
            for one in seen if "dryRun=" not in one["requestURI"] and TRIAL_AGENT not in one.get("userAgent", "")]


class _Since:
    """Remembers when a test began."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}

    def label(self, name: str) -> None:
        self.began.setdefault(name, time.time())


class Events(_Since):
    """What became of containers: START /service, DIE /service, …, written down as it happens: an engine remembers only its last 256 events, and
    health checks are events."""

    def __init__(self, fleet: ComposeFleet) -> None:
        super().__init__()
        told = "{{.TimeNano}} {{.Action}} {{index .Actor.Attributes \"com.docker.compose.service\"}}"
        wanted = [word for event in ("start", "die", "create", "destroy") for word in ("--filter", f"event={event}")]
        self.kept = tempfile.NamedTemporaryFile("w")    # open until close()
        self.process = subprocess.Popen(["docker", "events", "--filter", "type=container", *wanted, "--format", told],
                                        env=fleet.engine.environment, stdout=self.kept, stderr=subprocess.DEVNULL)

    def records(self, name: str) -> list[Record]:
        time.sleep(0.5)     # it is told a moment later
        assert self.process.poll() is None, "docker events has ended"
        told = [line.split() for line in Path(self.kept.name).read_text().splitlines()]
        return [{"method": action.upper(), "path": f"/{service}", "status": 200}
                for when, action, service in (one for one in told if len(one) == 3) if int(when) / 1e9 >= self.began[name]]

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.kept.close()


class Journals(_Since):
    """What became of units of the service's hosts: START /unit, STOP /unit, ENABLE /unit."""

    def __init__(self, fleet: SystemdFleet) -> None:
        super().__init__()
        self.fleet = fleet

    def records(self, name: str) -> list[Record]:
        since = self.began[name]
        found = []
        for host in SERVICE_HOSTS:
            lines = self.fleet.on(host.name, "journalctl", "--output=json", "--no-pager", f"--since=@{since:.0f}", "_PID=1").splitlines()
            for one in map(json.loads, filter(None, lines)):
                ended = one.get("MESSAGE_ID") == UNIT_ENDED or (one.get("JOB_TYPE") == "stop" and one.get("JOB_RESULT") == "done")
                started = one.get("JOB_TYPE") == "start" and one.get("JOB_RESULT") == "done"
                found += [(method, one.get("UNIT", "")) for method, so in (("STOP", ended), ("START", started)) if so]
            links = self.fleet.on(host.name, "find", "/etc/systemd/system", "-path", "*.wants/*", "-type", "l", "-newerct", f"@{since:.0f}",
                                  "-printf", "%f\\n").split()
            found += [("ENABLE", unit) for unit in links]
        return [{"method": method, "path": f"/{unit}", "status": 200} for method, unit in found]


@contextlib.contextmanager
def witness(recorder: t.Any) -> Iterator[None]:
    """It counts for the tests of this block."""
    coverage.register(recorder)
    try:
        yield
    finally:
        coverage.forget(recorder)
        if isinstance(recorder, Events):
            recorder.close()


def of_hosts(fleet: HostsFleet) -> Events | Journals:
    return Events(fleet) if isinstance(fleet, ComposeFleet) else Journals(t.cast("SystemdFleet", fleet))
