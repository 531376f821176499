# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data files of a stopped node: set aside, replaced, back; and every step killed at every call that writes."""

from __future__ import annotations

import os
import shutil
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources import data_files
from ansible_collections.exalt.caching.plugins.module_utils._resources.data_files import Data, Names

from tests.harness.modules import run_module

APPENDS, PLAIN = Names("dump.rdb", True, "appendonlydir", "appendonly.aof"), Names("dump.rdb", False, "appendonlydir", "appendonly.aof")
OLD = {"appendonlydir/appendonly.aof.1.base.rdb": "base", "appendonlydir/appendonly.aof.1.incr.aof": "incr", "appendonlydir/appendonly.aof.manifest": "m",
       "dump.rdb": "old", "nodes.conf": "nodes"}
NODES = {"nodes.conf": "nodes"}
INDEX = "file appendonly.aof.1.base.rdb seq 1 type b\n"
NEW = {"dump.rdb": "new", **NODES}
LOADED = {**NEW, "appendonlydir/appendonly.aof.1.base.rdb": "new", "appendonlydir/appendonly.aof.manifest": INDEX}


class Killed(BaseException):
    """As SIGKILL: nothing after it runs."""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def seen(folder: Path) -> dict[str, str]:
    """What a server would find."""
    kept = (path for path in folder.rglob("*") if path.is_file() and ".before-" not in str(path) and ".placing-" not in str(path))
    return {str(path.relative_to(folder)): path.read_text() for path in kept}


def step(folder: Path, state: str, names: Names = APPENDS, look: bool = False) -> bool:
    data = Data(str(folder), names, "op", look)
    {"aside": lambda: data.set_aside(0), "placed": lambda: data.place(None), "back": data.back, "dropped": data.drop}[state]()
    return data.changed


def ran(folder: str | Path, state: str, check: bool = False, **given: t.Any) -> t.Any:
    """The module, with one folder that has an append-only file."""
    more = {name: given.pop(name) for name in ("operation",) if name in given}
    return run_module("redis_data", {"folders": [{"path": str(folder), "appendonly": True, **given}], "state": state, "operation": "op", **more}, check=check)


def put(folder: Path) -> None:
    (folder / ".dump.rdb.restoring").write_text("new")      # as redis_restore does it
    (folder / ".dump.rdb.restoring").rename(folder / "dump.rdb")


@pytest.mark.parametrize(("names", "before", "placed"), [
    (APPENDS, OLD, LOADED), (PLAIN, {"dump.rdb": "old", **NODES}, NEW), (PLAIN, NODES, NEW), (APPENDS, NODES, LOADED),
    (PLAIN, OLD, NEW),      # an append-only file that is of no use any more would come to life when somebody switches it on
])
@pytest.mark.hazard("H41", "H42")
def test_the_way_there_and_back(tmp_path: Path, names: Names, before: dict[str, str], placed: dict[str, str]) -> None:
    write(tmp_path, before)
    listing = sorted(tmp_path.rglob("*"))
    assert step(tmp_path, "aside", names, look=True) and sorted(tmp_path.rglob("*")) == listing
    assert step(tmp_path, "aside", names) and not step(tmp_path, "aside", names) and seen(tmp_path) == NODES
    put(tmp_path)
    changed = step(tmp_path, "placed", names)
    assert changed is names.appends and not step(tmp_path, "placed", names) and seen(tmp_path) == placed
    if names.appends:
        assert (tmp_path / "dump.rdb").samefile(tmp_path / "appendonlydir" / names.base)
    assert step(tmp_path, "back", names) and seen(tmp_path) == before and not step(tmp_path, "back", names)
    assert not [path for path in tmp_path.rglob("*") if "before" in path.name or "placing" in path.name]


def test_what_a_node_wrote_that_was_started_too_early_is_not_kept(tmp_path: Path) -> None:
    """It came up empty, between two steps; neither way may take what it wrote for what there was."""
    write(tmp_path, OLD)
    step(tmp_path, "aside")
    write(tmp_path, {"dump.rdb": "empty", "appendonlydir/appendonly.aof.1.incr.aof": "empty"})
    assert step(tmp_path, "aside") and seen(tmp_path) == NODES
    write(tmp_path, {"appendonlydir/appendonly.aof.1.incr.aof": "empty"})
    put(tmp_path)
    step(tmp_path, "placed")
    assert seen(tmp_path) == LOADED
    step(tmp_path, "back")
    assert seen(tmp_path) == OLD


def test_dropped_leaves_the_restored_data(tmp_path: Path) -> None:
    write(tmp_path, OLD)
    step(tmp_path, "aside")
    put(tmp_path)
    step(tmp_path, "placed")
    assert Data(str(tmp_path), APPENDS, "op", False).aside() == [{"name": "appendonlydir.before-op", "bytes": 9}, {"name": "dump.rdb.before-op", "bytes": 3}]
    assert step(tmp_path, "dropped") and not step(tmp_path, "dropped") and seen(tmp_path) == LOADED and not list(tmp_path.glob("*before*"))


CALLS = ("rename", "unlink", "mkdir", "link", "rmtree", "_written", "_synced")


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> Iterator[t.Callable[[int, bool], None]]:
    """`deadly(n, after)`: the n-th call that writes is the last, before it is made or after."""
    left = [0, 0]
    monkeypatch.setattr(os, "fsync", lambda _file: None)      # there are hundreds, and the machine goes on

    def wrapped(place: t.Any, name: str) -> None:
        plain = getattr(place, name)

        def call(*given: t.Any, **more: t.Any) -> t.Any:
            left[0] -= 1
            if left[0] == 0 and not left[1]:
                raise Killed
            found = plain(*given, **more)
            if left[0] == 0:
                raise Killed
            return found

        monkeypatch.setattr(place, name, call)

    for name in CALLS:
        wrapped(data_files if name.startswith("_") else shutil if name == "rmtree" else os, name)

    def armed(number: int, after: bool) -> None:
        left[:] = [number, after]

    yield armed


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("names", [APPENDS, PLAIN])
@pytest.mark.parametrize("before", [OLD, NODES])
@pytest.mark.hazard("H40", "H41")
def test_a_run_killed_anywhere_goes_on_or_back(tmp_path: Path, names: Names, before: dict[str, str], waits: bool,
                                               deadly: t.Callable[[int, bool], None]) -> None:
    """Whatever call was the last: run again it ends with the wanted data, and taken back with what there was."""
    def fetched(folder: Path) -> None:
        if Data(str(folder), names, "op", False).staged() is None:
            put(folder)

    placed = LOADED if names.appends else NEW
    killed, number = {0}, 0
    while number in killed:
        number += 1
        for after in (False, True):
            for then in ("on", "back"):
                folder = tmp_path / f"{number}-{after}-{then}"
                folder.mkdir()
                write(folder, before)
                if waits:
                    (folder / "dump.rdb.staged-op").write_text("new")
                deadly(number, after)
                try:
                    step(folder, "aside", names)
                    fetched(folder)
                    step(folder, "placed", names)
                    step(folder, "back", names)
                except Killed:
                    killed.add(number)
                deadly(0, False)
                if then == "on":
                    step(folder, "aside", names)
                    fetched(folder)
                    step(folder, "placed", names)
                    assert seen(folder) == placed, (number, after)
                step(folder, "back", names)
                assert seen(folder) == before, (number, after, then)
                shutil.rmtree(folder)
    assert len(killed) > 10


@pytest.mark.parametrize("given", [{"operation": "../x"}, {"operation": ""}, {"dbfilename": "/etc/passwd"}, {"appenddirname": ".."}, {"path": "/nonesuch"}])
def test_odd_names_are_refused(tmp_path: Path, given: dict[str, str]) -> None:
    done = ran(tmp_path, "aside", **given)
    (option,) = given
    assert done["failed"] and done["msg"].startswith(f"{option}: "), done


def test_the_module_refuses_what_it_can_not_do(tmp_path: Path) -> None:
    early = ran(tmp_path, "placed")
    assert early["failed"] and "nothing was set aside" in early["msg"]
    full = ran(tmp_path, "aside", room=1 << 60)
    assert full["failed"] and "are needed" in full["msg"] and not list(tmp_path.iterdir())
    assert ran(tmp_path, "aside")["changed"]
    without = ran(tmp_path, "placed")
    assert without["failed"] and f"there is no {tmp_path}/dump.rdb" in without["msg"]
    put(tmp_path)
    other = ran(tmp_path, "placed", sha256="0" * 64)
    assert other["failed"] and "its digest is another" in other["msg"] and not (tmp_path / "appendonlydir").exists()


def test_of_several_folders_all_are_looked_at_before_one_is_touched(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, OLD)
    folders = [{"path": str(tmp_path / name), "appendonly": True} for name in ("a", "b")]
    args = {"folders": folders, "operation": "op"}
    with (tmp_path / "b" / "dump.rdb").open():
        refused = run_module("redis_data", {**args, "state": "aside"})
    assert refused["failed"] and f"{tmp_path}/b" in refused["msg"] and seen(tmp_path / "a") == OLD, refused
    full = run_module("redis_data", {**args, "folders": [folders[0], {**folders[1], "room": 1 << 60}], "state": "aside"})
    assert full["failed"] and not full["changed"] and seen(tmp_path / "a") == OLD, full
    done = run_module("redis_data", {**args, "state": "aside"})
    assert [row["path"] for row in done["folders"]] == [row["path"] for row in folders] and all(row["changed"] and row["aside"] for row in done["folders"])
    again = run_module("redis_data", {**args, "state": "aside"})
    assert not again["changed"] and not any(row["changed"] for row in again["folders"])
    put(tmp_path / "a")
    half = run_module("redis_data", {**args, "state": "placed"})
    assert half["failed"] and f"there is no {tmp_path}/b/dump.rdb" in half["msg"] and half["changed"] and seen(tmp_path / "a") == LOADED, half


def test_a_folder_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    """Seen by an open file of it; check mode only says so."""
    write(tmp_path, OLD)
    with (tmp_path / "appendonlydir/appendonly.aof.1.incr.aof").open():
        refused = ran(tmp_path, "aside")
        assert refused["failed"] and f"({os.getpid()})" in refused["msg"] and seen(tmp_path) == OLD
        told = ran(tmp_path, "aside", check=True)
        assert told["folders"][0]["busy"] == [os.getpid()] and told["changed"] and seen(tmp_path) == OLD
    assert ran(tmp_path, "aside")["folders"][0]["aside"] == [{"name": "appendonlydir.before-op", "bytes": 9}, {"name": "dump.rdb.before-op", "bytes": 3}]


@pytest.mark.parametrize("names", [APPENDS, PLAIN])
def test_a_dump_that_waits_beside_its_place(tmp_path: Path, names: Names) -> None:
    """It is put there while the node runs; the node is down only while it is renamed."""
    write(tmp_path, OLD)
    waits = tmp_path / "dump.rdb.staged-op"
    waits.write_text("new")
    assert Data(str(tmp_path), names, "op", False).staged() == 3 and Data(str(tmp_path), names, "other", False).staged() is None
    step(tmp_path, "aside", names)
    assert waits.exists() and step(tmp_path, "placed", names, look=True) and waits.exists()
    with pytest.raises(CachingError, match="staged-op is not the file that is wanted"):
        Data(str(tmp_path), names, "op", False).place("0" * 64)
    assert step(tmp_path, "placed", names) and not step(tmp_path, "placed", names) and not waits.exists()
    assert seen(tmp_path) == (LOADED if names.appends else NEW)
    step(tmp_path, "back", names)
    assert seen(tmp_path) == OLD
    waits.write_text("new")
    (tmp_path / ".dump.rdb.staged-op.restoring").write_text("n")
    assert step(tmp_path, "back", names) and seen(tmp_path) == OLD and not step(tmp_path, "back", names)     # of a run that ended before it stopped one


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_given: t.Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    step(tmp_path, "aside")
    put(tmp_path)
    step(tmp_path, "placed")
    assert seen(tmp_path) == {name: text for name, text in LOADED.items() if name != "nodes.conf"}


def test_a_mark_that_is_damaged_ends_it(tmp_path: Path) -> None:
    (tmp_path / ".before-op.json").write_text("{")
    with pytest.raises(CachingError, match="can't be read"):
        step(tmp_path, "back")
