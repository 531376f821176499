# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_restore into a server of its own: exact, quiet, and nothing is left, also of a run that was killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._resources import scratch_restore

from tests.harness import datasets, process
from tests.harness.modules import PACKAGE, ModuleResult, run_module
from tests.harness.scratch import Scratch
from tests.harness.scratch import server as program
from tests.harness.sequence import accepted
from tests.harness.until import until
from tests.integration.redis.conftest import KEY, Stage, job

SERVER = {"scratch": {"server": program("valkey").program}}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where scratch servers work in these tests."""
    folder = tmp_path / "t"
    folder.mkdir()
    return folder


def drill(stage: Stage, place: Path, check: bool = False, **options: t.Any) -> ModuleResult:
    given = stage.args(**{"redis_nodes": None, **SERVER, **options})
    return run_module("redis_restore", given, check=check, env={"TMPDIR": str(place)})


def servers(place: Path) -> list[int]:
    """Processes that work below this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and Path(os.readlink(entry / "cwd")).is_relative_to(place):
                found.append(int(entry.name))
    return found


def test_it_is_exact_quiet_and_leaves_nothing(stage: Stage, place: Path) -> None:
    backup = stage.put()
    plan = accepted(drill(stage, place, check=True))
    keys = len(datasets.facts(stage.source))
    told = plan["plan"]
    assert (told["backup"], told["key_count"], told["encrypted"], plan["verified"]) == (backup, keys, False, False) and told["stored_bytes"] > 1000
    done = accepted(drill(stage, place))
    assert done["verified"] and done["restored"]["key_count"] == keys and not done.get("warnings"), done.get("warnings")
    assert servers(place) == [] and list(place.iterdir()) == [] and stage.target.sizes() == 0


def test_a_key_that_is_lost_is_found(stage: Stage, tmp_path: Path) -> None:
    """Into a live cluster a few may differ, as the service goes on writing; here none may."""
    stage.put()
    for scratch, lost in ((None, 2), ({}, 1)):
        with Scratch(tmp_path / f"one{lost}", "valkey", 1) as target:
            restore = job(stage, target=target, scratch=scratch)
            restore.prepare()
            after = restore._after

            def harmed(done: t.Any, began: t.Any, target: Scratch = target, lost: int = lost, after: t.Any = after) -> list[str]:
                client = target.client(target.primaries()[0])
                for key in [key for key in client.scan_iter(count=1000) if client.ttl(key) == -1][:lost]:
                    client.delete(key)
                return list(after(done, began))

            restore._after = harmed   # type: ignore[method-assign]
            if scratch is None:
                assert restore.act()["verified"] is True
                continue
            with pytest.raises(Exception, match="keys are at the scratch server and 0 expired there, and") as caught:
                restore.act()
            assert "the keys were written, but" in str(caught.value)


def test_keys_that_expire_on_the_way_are_counted(stage: Stage, place: Path) -> None:
    cluster = stage.source.cluster()
    for number in range(60):
        cluster.set(f"soon:{number}", "x", px=2000 + 100 * number)
    total = len(datasets.facts(stage.source))
    stage.put()
    done = accepted(drill(stage, place))
    assert done["verified"] and done["restored"]["key_count"] + done["expired"] == total


@pytest.mark.hazard("H46")
def test_what_a_killed_run_left_is_removed_and_what_lives_is_not(stage: Stage, place: Path) -> None:
    stage.put()
    runs = []
    for _one in range(2):
        given = {**stage.args(redis_nodes=None, **SERVER), "_ansible_check_mode": False}
        run = subprocess.Popen([sys.executable, "-m", f"{PACKAGE}.redis_restore"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env=process.environment({"TMPDIR": str(place)}), text=True)
        assert run.stdin is not None
        run.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": given}))
        run.stdin.close()
        runs.append(run)
        until(lambda: len(list(place.glob("*/pid"))) == len(runs), "a server that has begun", 20)
    killed, lives = runs
    killed.kill()
    assert killed.wait() == -signal.SIGKILL and len(servers(place)) == 2, "its server works on"
    done = accepted(drill(stage, place))
    assert done["verified"] and "had left a scratch server" in str(done["warnings"])
    assert lives.stdout is not None and json.loads(lives.stdout.read())["verified"] is True and lives.wait() == 0
    assert servers(place) == [] and list(place.iterdir()) == []


@pytest.mark.parametrize("processes", ["/proc", "/proc/nonesuch"])
def test_a_server_is_ended_wherever_processes_can_be_seen_or_not(place: Path, monkeypatch: pytest.MonkeyPatch, processes: str) -> None:
    monkeypatch.setattr(scratch_restore, "_PROCESSES", processes)
    monkeypatch.setattr(scratch_restore.tempfile, "tempdir", str(place))

    def command(words: list[str]) -> tuple[int, str, str]:
        ended = subprocess.run(words, capture_output=True, text=True, check=False)
        return ended.returncode, ended.stdout, ended.stderr

    with scratch_restore._running(program("valkey").program, 0, command):
        (server,) = servers(place)
        (folder,) = place.iterdir()
        assert scratch_restore.clean() == [] and servers(place) == [server], "its run lives"
        assert not scratch_restore._works_in(os.getpid(), str(folder)), "another process is never taken for it"
    assert servers(place) == [] and list(place.iterdir()) == []


@pytest.mark.parametrize(("options", "told"), [
    ({"flush": True, "confirm": "demo"}, "scratch: it takes no flush"), ({"redis_nodes": ["127.0.0.1:1"]}, "scratch: it takes no redis_nodes"),
    ({"on_conflict": "skip"}, "it takes no on_conflict skip"), ({"scratch": {"server": "/nonesuch/server"}}, "there is no program /nonesuch/server"),
    ({"scratch": {"server": "/bin/true"}}, "is no server of Redis or Valkey"), ({"signing_key": "a wrong one"}, "key than signing_key"),
    ({"scratch": {"server": "old-server"}}, "is redis with RDB versions up to 10, and the backup has version 80 of valkey"),
])
def test_what_can_not_be_is_one_line_before_anything_is_started(stage: Stage, place: Path, options: dict[str, t.Any], told: str) -> None:
    stage.put()
    old = place.parent / "old-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=7.0.15 sha=00000000:0'\n")
    old.chmod(0o755)
    if options.get("scratch", {}).get("server") == old.name:
        options = {"scratch": {"server": str(old)}}
    began = time.monotonic()
    result = drill(stage, place, check=True, **options)
    assert result["failed"] and told in result["msg"] and "\n" not in result["msg"] and KEY not in result.stdout, result
    assert list(place.iterdir()) == [] and time.monotonic() - began < 30
