# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Positive controls of the two runners: success, failure, crash and check mode come back as what they are."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import process
from tests.harness.modules import PACKAGE, parse, run_module
from tests.harness.plays import at, play
from tests.harness.targets import Fleet, Service
from tests.harness.until import kill_tree, until
from tests.harness.warm import Parent
from tests.harness.warm_plays import Parent as WarmPlays

REGION = {"regions": [{"name": "runner", "default_ttl": "PT1H"}]}
PLAY = """
- hosts: caching_fleet
  gather_facts: false
  tasks:
    - name: A module
      exalt.caching.cache_region:
        service_url: "{{ url }}"
        admin_token: "{{ caching_admin_token }}"
        api_token: "{{ caching_api_token }}"
        regions: []
    - name: A change
      ansible.builtin.set_fact:
        planted: true
      changed_when: true
    - name: A statistic
      ansible.builtin.set_stats:
        data: {planted: [1]}
    - name: A failure
      ansible.builtin.fail:
        msg: planted
      when: fails | bool
"""


def test_check_mode_reaches_the_module(service: Callable[..., Service]) -> None:
    target = service()
    planned = run_module("cache_region", {**target.args, **REGION}, check=True)
    assert planned["changed"] and planned.rc == 0 and target.proxy.writes() == []
    done = run_module("cache_region", {**target.args, **REGION})
    assert done["changed"] and len(target.proxy.writes()) == 1 and not done.crashed


def test_a_failure_is_data() -> None:
    result = run_module("cache_region", {"nonsense": 1})
    assert result["failed"] and result.rc == 1 and not result.crashed
    assert result["msg"].startswith("Unsupported parameters for (exalt.caching.cache_region) module: nonsense.")


def test_a_crash_is_data() -> None:
    result = run_module("no_such_module", {})
    assert result["failed"] and result.crashed and f"No module named {PACKAGE}.no_such_module" in result["msg"]
    assert parse('{"half": ', "Traceback\nValueError: planted", 1)["msg"] == "ValueError: planted"


@pytest.mark.parametrize("warm", [True, False])
def test_a_run_that_does_not_end_is_killed(service: Callable[..., Service], warm: bool) -> None:
    target = service()
    target.proxy.break_with({"freeze": True})
    result = run_module("cache_region", {**target.args, "timeout": 60, "regions": []}, timeout=2, warm=warm)
    assert result["failed"] and result.crashed and (result.rc, result.stderr) == (-9, "no end after 2 s")
    assert result.seconds < 10


def test_both_ways_of_running_are_the_same(service: Callable[..., Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = service()
    monkeypatch.chdir(tmp_path)
    many = {"regions": [{"name": f"r{number:05}", "max_size": 1, "extra": {"note": "x" * 80}} for number in range(2000)]}
    tries = [
        ("cache_region", {**target.args, **REGION}, True), ("cache_region", {**target.args, **many}, True),
        ("cache_region", {"nonsense": 1}, False), ("cache_region", {**target.args, "service_url": "http://127.0.0.1:9"}, False),
        ("cache_region", {**target.args, "store_url": "é\n\0"}, False), ("cache_info", {**target.args, "subset": ["regions"]}, False),
    ]
    for name, args, check in tries:
        plain, warm = (run_module(name, args, check, warm=way) for way in (False, True))
        assert (plain.rc, plain.stdout, plain.stderr, plain.crashed) == (warm.rc, warm.stdout, warm.stderr, warm.crashed)
        assert plain == warm
    crashed = [run_module("no_such_module", {}, warm=way) for way in (False, True)]
    assert [(one.rc, one.stdout, one.crashed, one["msg"].partition(": ")[2]) for one in crashed] == [
        (1, "", True, f"No module named {PACKAGE}.no_such_module")] * 2


def test_a_warm_run_loads_the_collection_itself(tmp_path: Path) -> None:
    """Edits count, nothing is left from one run to the next, and an interpreter with another start is not shared."""
    environment = {**process.environment(), "PYTHONPATH": str(tmp_path)}
    parent = Parent(environment)
    for text in ("one", "other"):
        (tmp_path / "planted.py").write_text(
            f"import json, sys, redis\nredis.planted = [hasattr(redis, 'planted'), '{text}', input(), __name__]\n"
            "print(json.dumps([*redis.planted, [name for name in sys.modules if name.startswith('ansible_collections')]]))")
        code, out, _err = parent.run("planted", b"given", environment, 10)
        assert (code, json.loads(out)) == (0, [False, text, "given", "__main__", []])
    parent.socket.close()
    assert parent.process.wait(5) == 0
    assert Parent.fitting(process.environment()) and not Parent.fitting(environment)


HERE = {"ansible_python_interpreter": sys.executable}
MODULES = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.command:
        argv: [sh, -c, "echo $PLANTED; pwd; umask; cat; exit 3"]
        stdin: "given"
      register: ran
      changed_when: false
      failed_when: ran.rc != 3
      args: {chdir: "{{ playbook_dir }}"}
    - exalt.caching.cache_info:
        service_url: "http://127.0.0.1:9"
        retries: 0
      register: failed
      ignore_errors: true
    - ansible.builtin.setup:
        gather_subset: [min]
    - ansible.builtin.debug:
        msg: "{{ [ran.rc, ran.stdout_lines, failed.msg, ansible_facts.python.executable] }}"
"""


def test_modules_of_a_playbook_are_the_same_in_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code, streams, environment, folder and failure; and the control that one of the two was really warm."""
    playbook = tmp_path / "modules.yml"
    playbook.write_text(MODULES)
    seen = []
    for way in ("warm", "plain"):
        monkeypatch.setenv("EXALT_CACHING_MODULES", way)
        ran = play(str(playbook), "localhost,", extra_vars=HERE, env={"PLANTED": "planted"})
        assert ran.rc == 0, ran.stdout
        seen.append(ran.results("debug")[0]["msg"])
    assert seen[0] == seen[1] and seen[0][0] == 3 and seen[0][1] == ["planted", str(tmp_path), *seen[0][1][2:]], seen
    monkeypatch.setenv("EXALT_CACHING_MODULES", "warm")
    given = process.environment()
    assert WarmPlays.settings(given)["EXALT_WARM"] and list(Path(WarmPlays.running.folder.name, "packed").glob("*command*"))  # type: ignore[union-attr]
    assert WarmPlays.settings({**given, "LANG": "xx"}) == {**given, "LANG": "xx"}, "an interpreter of its own"


def test_a_playbook_that_is_killed_takes_its_module_with_it(tmp_path: Path) -> None:
    playbook, mark = tmp_path / "long.yml", tmp_path / "pid"
    script = f"echo $$ > {mark}; exec sleep 600"
    playbook.write_text("- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n    - name: Long\n      ansible.builtin.command:\n"
                        f"        argv: [sh, -c, {json.dumps(script)}]\n")

    def kill(pid: int) -> None:
        until(lambda: mark.exists() and mark.read_text().strip(), "the module did not start")
        kill_tree(pid)

    with at("TASK [Long]", act=kill) as moment:
        play(str(playbook), "localhost,", extra_vars=HERE)
    assert moment.seen
    until(lambda: not Path(f"/proc/{mark.read_text().strip()}").exists(), "what the module has started goes on", 5)


def test_the_environment_does_not_reach_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHING_SERVICE_URL", "http://127.0.0.1:9")
    without = run_module("cache_info", {"subset": ["regions"]})
    given = run_module("cache_info", {"subset": ["regions"], "retries": 0},
                       env={"CACHING_SERVICE_URL": "http://127.0.0.1:9"})
    assert "127.0.0.1:9" not in without["msg"] and "127.0.0.1:9" in given["msg"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_play_is_data(fleet: Fleet, tmp_path: Path, fails: bool) -> None:
    book = tmp_path / "book.yml"
    book.write_text(PLAY)
    outcome = play(str(book), fleet.inventory, extra_vars={"fails": fails, "url": fleet.facts["service_url"]})
    assert (outcome.rc, outcome.changed, outcome.failed) == (2 if fails else 0, 1, int(fails))
    assert outcome.custom == {"planted": [1]}
    assert "PLAY RECAP" in outcome.stdout and outcome.results("cache_region")[0]["changed"] is False
    assert [task["state"] for task in outcome.tasks] == ["ok", "ok", "ok", "failed" if fails else "skipped"]
    assert not fails or outcome.results("fail")[0]["msg"] == "planted"


def test_a_plays_check_mode(fleet: Fleet, tmp_path: Path) -> None:
    book = tmp_path / "book.yml"
    book.write_text(PLAY)
    outcome = play(str(book), fleet.inventory, check=True,
                   extra_vars={"fails": False, "url": fleet.facts["service_url"]})
    assert outcome.rc == 0 and outcome.hosts["local"]["failures"] == 0
