# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trial fleets on Compose and on hosts with systemd, as tests see them: what really runs, past the collection."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import yaml

from tests.fleet.compose import lifecycle as compose
from tests.fleet.systemd import lifecycle as systemd
from tests.fleet.systemd.layout import REDIS_HOSTS, REDIS_PORTS, SERVICE_HOSTS
from tests.harness.plays import Outcome, play

SHOWN = ("ActiveState", "SubState", "NRestarts", "MainPID", "Restart")


class Running(t.NamedTuple):
    """A member as its platform tells: whether it runs, its process, and how often that was restarted."""

    running: bool
    process: str
    restarts: int
    detail: str = ""


class HostsFleet:
    """What both have in common: playbooks, single verbs, and a look at every member."""

    platform = ""

    def __init__(self) -> None:
        lifecycle = compose if self.platform == "compose" else systemd
        self.state: t.Any = lifecycle.state()
        self.engine = lifecycle.engine_of(self.state)
        self.facts: dict[str, t.Any] = json.loads(self.state.facts.read_text())

    def play(self, name: str, *arguments: str, check: bool = False, **variables: t.Any) -> Outcome:
        return play(name, self.state.inventory, *arguments, check=check, extra_vars=variables, timeout=1200)

    def verbs(self, folder: Path, wanted: list[tuple[str, str, dict[str, t.Any]]]) -> tuple[Outcome, list[t.Any]]:
        """Verbs by themselves: each with a fact that it leaves and its variables; and these facts."""
        steps: list[dict[str, t.Any]] = [{"ansible.builtin.import_role": {"name": "exalt.caching.caching"}}]
        for name, show, variables in wanted:
            steps += [
                {"ansible.builtin.include_role": {"name": "exalt.caching.caching", "tasks_from": "verb"}, "vars": {"caching_verb": name, **variables}},
                {"ansible.builtin.debug": {"msg": f"{{{{ {show} }}}}"}},
            ]
        playbook = folder / "verb.yml"
        playbook.write_text(yaml.safe_dump([{"hosts": "caching_fleet", "gather_facts": False, "tasks": steps}]))
        outcome = self.play(str(playbook))
        return outcome, [said["msg"] for said in outcome.results("debug")]

    def service(self) -> dict[str, Running]:
        return {name: one for name, one in self.members().items() if "service" in name}

    def members(self) -> dict[str, Running]:
        raise NotImplementedError

    def cut(self, host: str) -> AbstractContextManager[None]:
        """Nobody reaches this host; where there is only one, nothing."""
        return nullcontext()

    def break_next(self) -> None:
        """The next process of the service that starts anew dies again and again."""
        raise NotImplementedError

    def repair(self) -> None:
        raise NotImplementedError


class ComposeFleet(HostsFleet):
    platform = "compose"

    def members(self) -> dict[str, Running]:
        names = self.engine.docker("ps", "--all", "--format", "{{.Names}}").split()
        found = json.loads(self.engine.docker("inspect", *names)) if names else []
        return {one["Name"].strip("/"): Running(one["State"]["Running"], str(one["State"]["Pid"]), one["RestartCount"],
                                                one["HostConfig"]["RestartPolicy"]["Name"]) for one in found}

    def _version(self, old: str, new: str) -> None:
        file = self.state.project / ".env"
        file.write_text(file.read_text().replace(f"CACHING_VERSION={old}\n", f"CACHING_VERSION={new}\n"))

    def break_next(self) -> None:
        self._version("2.4.0", "2.5.0-crash-loop")

    def repair(self) -> None:
        self._version("2.5.0-crash-loop", "2.4.0")
        broken = [name for name in self.service() if name.endswith("-3")]
        if broken:
            self.engine.docker("rm", "--force", *broken)


class SystemdFleet(HostsFleet):
    platform = "systemd"
    environment = "/etc/caching-service/environment"

    def on(self, host: str, *command: str, check: bool = True) -> str:
        return self.engine.docker("exec", f"{systemd.NAME}-{host}", *command, check=check)

    def members(self) -> dict[str, Running]:
        units = {host.name: {host.name: "caching-service"} for host in SERVICE_HOSTS}
        units |= {host.name: {f"{host.name}:{port}": f"redis@{port}" for port in REDIS_PORTS} for host in REDIS_HOSTS}
        result = {}
        for host, names in units.items():
            blocks = self.on(host, "systemctl", "show", *names.values(), f"--property={','.join(SHOWN)}").split("\n\n")
            for name, block in zip(names, blocks, strict=True):
                shown = dict(line.split("=", 1) for line in block.splitlines())
                result[name] = Running(shown["SubState"] == "running", shown["MainPID"], int(shown["NRestarts"]), shown["Restart"])
        return result

    @contextmanager
    def cut(self, host: str) -> Iterator[None]:
        """Nobody reaches this host by SSH."""
        self.on(host, "sh", "-c", "systemctl kill --signal=KILL ssh; systemctl stop ssh")      # with the connections that are open
        try:
            yield
        finally:
            self.on(host, "systemctl", "start", "ssh")

    def break_next(self) -> None:
        self.on("service-3", "sh", "-c", f"echo EXALT_FAULT=crash-loop >>{self.environment}; systemctl stop caching-service")

    def repair(self) -> None:
        self.on("service-3", "sed", "-i", "/^EXALT_FAULT/d", self.environment)
        self.on("service-3", "systemctl", "reset-failed", "caching-service", check=False)
        self.on("service-3", "systemctl", "restart", "caching-service")
