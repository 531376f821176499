# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules on the controller run in a fork of their task's process: the same results as by an interpreter of their own, and no file with arguments."""

from __future__ import annotations

import sys
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from ansible.release import __version__

from tests.harness.plays import at, play
from tests.harness.targets import Service
from tests.harness.until import kill_tree, until

OLD = int(tuple(map(int, __version__.split(".")[:2])) < (2, 21))    # of Ansible: there every module is packed
OWN = {"environment": {"PLANTED": "an interpreter of its own"}}


def book(path: Path, *tasks: dict[str, t.Any]) -> str:
    path.write_text(yaml.safe_dump([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": list(tasks)}]))
    return str(path)


def packed(said: str) -> int:
    """How many modules of this collection were packed."""
    return sum("Using module file" in line and "/exalt/caching/" in line for line in said.splitlines())


def region(target: Service, *names: str, **more: t.Any) -> dict[str, t.Any]:
    return {**{name: value for name, value in target.args.items() if value is not None},
            "regions": [{"name": name, "max_size": 7} for name in names], **more}


def processes(word: str) -> list[str]:
    return [text for one in Path("/proc").glob("[0-9]*/cmdline") if word in (text := one.read_text(errors="replace")) and "ansible-playbook" in text]


def test_results_are_those_of_an_interpreter_of_its_own(service: Callable[..., Service], tmp_path: Path) -> None:
    """A prediction with its differences, a change, nothing to do, one refused, one that can't be reached, one with a warning; secrets stay hidden."""
    seen = {}
    for way, more in (("here", {}), ("own", OWN)):
        target = service()      # empty again
        same = region(target, "here-x")
        cases: list[dict[str, t.Any]] = [
            {"exalt.caching.cache_region": same, "check_mode": True}, {"exalt.caching.cache_region": same}, {"exalt.caching.cache_region": same},
            {"exalt.caching.cache_region": {"nonsense": 1}},
            {"exalt.caching.cache_info": {"service_url": "http://127.0.0.1:9", "retries": 0}},
            {"exalt.caching.cache_health_info": {**{name: value for name, value in same.items() if name not in ("regions", "instances")}}},
        ]
        tasks = [{**case, **more, "ignore_errors": True, "diff": True} for case in cases]
        ran = play(book(tmp_path / f"{way}.yml", *tasks), "localhost,", "-vvv", extra_vars={"ansible_python_interpreter": sys.executable})
        assert ran.rc == 0 and len(ran.tasks) == len(cases), ran.stdout
        assert target.args["admin_token"] not in ran.stdout + ran.stderr
        assert (ran.stdout + ran.stderr).count("[WARNING]: only service_url is known") == 1, "what the module warns of is shown once"
        results = [{name: value for name, value in one["result"].items() if name not in ("seconds", "elapsed")} for one in ran.tasks]
        seen[way] = [(one["state"], result) for one, result in zip(ran.tasks, results, strict=True)]
        assert packed(ran.stdout) == (0 if way == "here" and not OLD else len(cases)), "only one of them is packed"
    assert [one[1].get("changed") for one in seen["here"][:3]] == [True, True, False], seen["here"]
    for here, own in zip(seen["here"], seen["own"], strict=True):
        assert here == own


@pytest.mark.parametrize("end", ["timeout", "killed"])
def test_a_module_ends_with_its_task(service: Callable[..., Service], tmp_path: Path, end: str) -> None:
    target = service()
    target.proxy.break_with({"freeze": True})
    mark = f"mark-{tmp_path.name}-{end}"
    playbook = book(tmp_path / f"{mark}.yml", {
        "name": "Frozen", "exalt.caching.cache_region": region(target, "here-y", timeout=60), **({"timeout": 3} if end == "timeout" else {})})
    started = time.monotonic()
    variables = {"ansible_python_interpreter": sys.executable}
    if end == "timeout":
        ran = play(playbook, "localhost,", extra_vars=variables)
        assert ran.rc == 2 and "Timed out after 3 second(s)" in ran.stdout, ran.stdout
    else:
        with at("TASK [Frozen]", act=lambda pid: (until(target.proxy.records, "the module asks nothing"), kill_tree(pid))) as moment:
            play(playbook, "localhost,", extra_vars=variables)
        assert moment.seen
    assert time.monotonic() - started < 30
    until(lambda: not processes(mark), "the module goes on", 5)


def test_where_it_is_not_the_same_it_is_packed(service: Callable[..., Service], tmp_path: Path) -> None:
    """Another interpreter (here: another name of it), an environment, another host, a task that is polled."""
    target = service()
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    arguments = {"exalt.caching.cache_region": region(target, "here-z"), "check_mode": True}
    playbook = book(tmp_path / "ways.yml", arguments, {**arguments, "vars": {"ansible_python_interpreter": str(other)}}, {**arguments, **OWN},
                    {**arguments, "delegate_to": "other"}, {"exalt.caching.cache_region": region(target, "here-z"), "async": 60, "poll": 1})
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {
        "localhost": {"ansible_python_interpreter": sys.executable},
        "other": {"ansible_connection": "local", "ansible_python_interpreter": str(other)}}}}))
    ran = play(playbook, str(inventory), "-vvv", extra_vars={"ansible_async_dir": str(tmp_path / "jobs")})
    assert ran.rc == 0 and [one["result"]["changed"] for one in ran.tasks] == [True] * 5, ran.stdout
    assert packed(ran.stdout) == 4 + OLD, ran.stdout
