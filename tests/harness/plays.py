# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a playbook as a user would and return what it did as data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from tests.fleet import paths
from tests.harness import process
from tests.harness.until import kill_tree
from tests.harness.warm_plays import Parent

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


def command(playbook: str, inventory: str | Path, *extra: str, check: bool = False, extra_vars: Mapping[str, t.Any] | None = None) -> list[str]:
    names = [name if "/" in name or "." in name else f"exalt.caching.{name}" for name in playbook.split()]
    words = [str(Path(sys.executable).parent / "ansible-playbook"), *names, "-i", str(inventory), *extra]
    words += ["--check", "--diff"] if check else []
    return words + (["-e", json.dumps(dict(extra_vars))] if extra_vars else [])


@dataclass
class Moment:
    """When a playbook says `text` for the `number`-th time, `act` gets its process id. `seen`: whether it said so."""

    text: str
    number: int
    act: Callable[[int], t.Any]
    seen: bool = False


_MOMENT: ContextVar[Moment | None] = ContextVar("moment", default=None)


@contextmanager
def at(text: str, number: int = 1, act: Callable[[int], t.Any] = kill_tree) -> Iterator[Moment]:
    """`with at("Batch 2"): play("update", ...)`: the playbook, with all that it has started, ends by SIGKILL at that moment, or what `act` does is done."""
    token = _MOMENT.set(Moment(text, number, act))
    try:
        yield t.cast("Moment", _MOMENT.get())
    finally:
        _MOMENT.reset(token)


def _watched(words: list[str], moment: Moment, **options: t.Any) -> subprocess.CompletedProcess[str]:
    said = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options) as going:
        assert going.stdout
        for line in going.stdout:
            said.append(line)
            moment.number -= moment.text in line
            if not moment.number and not moment.seen:
                moment.seen = True
                moment.act(going.pid)
    return subprocess.CompletedProcess(words, going.returncode, "".join(said), "")


def cut_off(playbook: str, inventory: str | Path, text: str, number: int = 1, extra_vars: Mapping[str, t.Any] | None = None) -> str:
    """The playbook, until it says `text` for the `number`-th time: then it ends by SIGKILL, with all that it has started. What it had said."""
    words = command(playbook, inventory, extra_vars=extra_vars)
    said = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, encoding="utf-8",
                          env=Parent.settings(process.environment({"ANSIBLE_CONFIG": str(CONFIG), "EXALT_RECORD": os.devnull}))) as going:
        assert going.stdout
        for line in going.stdout:
            said.append(line)
            number -= text in line
            if not number:
                kill_tree(going.pid)
                break
    if number:
        raise AssertionError(f"{playbook} ended before it said that:\n{''.join(said)[-3000:]}")
    return "".join(said)


def play(playbook: str, inventory: str | Path, *extra: str, check: bool = False,
         extra_vars: Mapping[str, t.Any] | None = None, env: Mapping[str, str] | None = None,
         timeout: float = 300.0) -> Outcome:
    """Run `exalt.caching.<playbook>`, or a file, or several one after the other; `extra` are further arguments of ansible-playbook."""
    folder = paths.cache() / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("r", dir=folder, suffix=".jsonl", encoding="utf-8") as record:
        words = command(playbook, inventory, *extra, check=check, extra_vars=extra_vars)
        settings = {"ANSIBLE_CONFIG": str(CONFIG), "EXALT_RECORD": record.name, **(env or {})}
        started = time.monotonic()
        try:
            how: dict[str, t.Any] = {"text": True, "encoding": "utf-8", "errors": "replace", "stdin": subprocess.DEVNULL, "cwd": folder,
                                     "env": Parent.settings(process.environment(settings))}
            moment = _MOMENT.get()
            ended = _watched(words, moment, **how) if moment else subprocess.run(words, capture_output=True, timeout=timeout, check=False, **how)
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
