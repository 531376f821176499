# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a playbook as a user would and return what it did as data."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.fleet import paths
from tests.harness import process

CONFIG = Path(__file__).parent / "ansible.cfg"


@dataclass
class Outcome:
    """How a run of ansible-playbook ended."""

    rc: int
    stdout: str
    stderr: str
    seconds: float
    hosts: dict[str, dict[str, int]] = field(default_factory=dict)  # ok, changed, failures, unreachable, skipped …
    tasks: list[dict[str, t.Any]] = field(default_factory=list)     # state, host, task, action, result
    custom: dict[str, t.Any] = field(default_factory=dict)          # by set_stats, for the whole run

    @property
    def changed(self) -> int:
        return sum(host["changed"] for host in self.hosts.values())

    @property
    def failed(self) -> int:
        return sum(host["failures"] + host["unreachable"] for host in self.hosts.values())

    def results(self, action: str) -> list[dict[str, t.Any]]:
        """Results of the tasks that ran this module or action, by its last name."""
        return [one["result"] for one in self.tasks
                if one["action"].rpartition(".")[2] == action and one["state"] != "skipped"]


def play(playbook: str, inventory: str | Path, *extra: str, check: bool = False,
         extra_vars: Mapping[str, t.Any] | None = None, env: Mapping[str, str] | None = None,
         timeout: float = 300.0) -> Outcome:
    """Run `exalt.caching.<playbook>`, or a file, or several one after the other; `extra` are further arguments of ansible-playbook."""
    names = [name if "/" in name or "." in name else f"exalt.caching.{name}" for name in playbook.split()]
    folder = paths.cache() / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("r", dir=folder, suffix=".jsonl", encoding="utf-8") as record:
        command = [str(Path(sys.executable).parent / "ansible-playbook"), *names, "-i", str(inventory), *extra]
        command += ["--check", "--diff"] if check else []
        command += ["-e", json.dumps(dict(extra_vars))] if extra_vars else []
        settings = {"ANSIBLE_CONFIG": str(CONFIG), "EXALT_RECORD": record.name, **(env or {})}
        started = time.monotonic()
        try:
            ended = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace",
                                   stdin=subprocess.DEVNULL, timeout=timeout, check=False, cwd=folder,
                                   env=process.environment(settings))
        except subprocess.TimeoutExpired as late:
            said = late.stdout.decode("utf-8", "replace") if isinstance(late.stdout, bytes) else late.stdout or ""
            raise TimeoutError(f"{playbook} did not end in {timeout:.0f} s:\n{said[-2000:]}") from late
        outcome = Outcome(ended.returncode, ended.stdout, ended.stderr, time.monotonic() - started)
        for line in record:
            entry = json.loads(line)
            match entry.pop("kind"):
                case "task":
                    outcome.tasks.append(entry)
                case "stats":
                    outcome.hosts[entry["host"]] = entry["stats"]
                case _:
                    outcome.custom = entry["custom"].get("_run", {})
    return outcome
