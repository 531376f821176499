# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The truth table of the reconciler, on objects in memory: it decides, the modules' own tests prove it on a real service."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import ApiError, CachingError, Unreachable
from ansible_collections.exalt.caching.plugins.module_utils._fields import canonical, differing, same
from ansible_collections.exalt.caching.plugins.module_utils._reconcile import Change, Wanted, reconcile

KINDS = {"ttl": "duration", "size": "integer", "policy": "enum", "zip": "boolean", "tags": "set", "note": "text", "any": "any"}


@dataclass
class Mode:
    check_mode: bool = False
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class Memory:
    """Objects in a dictionary, with the lies and faults that a service may have."""

    kind = "thing"
    concurrency = 4

    def __init__(self, objects: dict[str, dict[str, t.Any]] | None = None, **faults: t.Any) -> None:
        self.objects = {name: dict(entry) for name, entry in (objects or {}).items()}
        self.fields = dict(KINDS)
        self.faults = faults
        self.writes: list[tuple[str, str]] = []
        self.reads = 0

    def read(self) -> dict[str, dict[str, t.Any]]:
        self.reads += 1
        if self.reads > 1 and self.faults.get("dies"):
            raise Unreachable("no answer")
        if self.reads > self.faults.get("settles_after", 0) + 1:
            for change in self.faults.pop("late", []):
                self._do(change)
        hidden = self.faults.get("hides", ())
        return {name: {key: None if key in hidden else value for key, value in entry.items()} for name, entry in self.objects.items()}

    def guard(self, changes: list[Change]) -> None:
        if self.faults.get("refuses"):
            raise CachingError("refused")

    def write(self, change: Change) -> bool:
        self.writes.append((change.action, change.name))
        if error := self.faults.get("errors", {}).get(change.name):
            raise error
        if "late" in self.faults:
            self.faults["late"].append(change)
            return True
        self._do(change)
        return False

    def _do(self, change: Change) -> None:
        if change.action == "delete":
            if not self.faults.get("keeps"):
                del self.objects[change.name]
            return
        ignored = self.faults.get("ignores", ())
        base = {} if self.faults.get("replaces") else self.objects.get(change.name, {})
        want = {key: self.objects.get(change.name, {}).get(key, "old") if key in ignored else value for key, value in change.want.items()}
        self.objects[change.name] = {**base, **want}


HAVE = {"same": {"ttl": "PT2H", "size": 5}, "old": {"ttl": "PT1H", "size": 5, "note": "kept"}, "extra": {"ttl": "PT1H"}}
WANT = Wanted({"same": {"ttl": "PT2H"}, "old": {"ttl": "PT3H"}, "new": {"size": 1}}, ["gone", "extra"])
SUMMARY = {"created": ["new"], "updated": ["old"], "deleted": ["extra"], "unchanged": ["same", "gone"]}


def test_writes_only_what_differs_and_reads_back() -> None:
    memory = Memory(HAVE)
    result = reconcile(Mode(), memory, WANT)
    assert result["changed"] and result["summary"] == SUMMARY
    assert sorted(memory.writes) == [("create", "new"), ("delete", "extra"), ("update", "old")] and memory.reads == 2
    assert result["objects"]["old"] == {"ttl": "PT3H", "size": 5, "note": "kept"}
    assert result["diff"] == {
        "before": {"old": {"ttl": "PT1H", "size": 5, "note": "kept"}, "extra": {"ttl": "PT1H"}},
        "after": {"old": {"ttl": "PT3H", "size": 5, "note": "kept"}, "new": {"size": 1}},
    }


def test_a_second_run_changes_nothing_and_reads_once() -> None:
    memory = Memory(HAVE)
    reconcile(Mode(), memory, WANT)
    memory.reads, memory.writes = 0, []
    result = reconcile(Mode(), memory, WANT)
    assert (result["changed"], memory.writes, memory.reads) == (False, [], 1)
    assert result["diff"] == {"before": {}, "after": {}}


def test_check_mode_writes_nothing_and_shows_the_same() -> None:
    memory = Memory(HAVE)
    predicted = reconcile(Mode(check_mode=True), memory, WANT)
    assert memory.writes == [] and memory.objects == HAVE
    real = reconcile(Mode(), memory, WANT)
    assert predicted == real


@pytest.mark.parametrize(("purge", "deleted"), [(False, []), (True, ["old", "extra"])])
def test_purge(purge: bool, deleted: list[str]) -> None:
    memory = Memory(HAVE)
    assert reconcile(Mode(), memory, Wanted({"same": {}}, [], purge))["summary"]["deleted"] == deleted


def test_refused_before_anything_is_written() -> None:
    memory = Memory(HAVE, refuses=True)
    with pytest.raises(CachingError, match="refused"):
        reconcile(Mode(), memory, WANT)
    assert memory.writes == []


def test_success_that_was_not_applied_is_an_error_with_field_wanted_and_found() -> None:
    memory = Memory(HAVE, ignores=("ttl",))
    with pytest.raises(CachingError) as caught:
        reconcile(Mode(), memory, Wanted({"old": {"ttl": "PT3H", "size": 6}}))
    assert "old (update): answered with success, but ttl is 'PT1H', wanted 'PT3H'" in caught.value.message
    assert caught.value.results["changed"] is True, "the size was changed all the same"
    assert caught.value.results["diff"]["after"] == {"old": {"ttl": "PT1H", "size": 6, "note": "kept"}}


def test_a_write_that_resets_what_was_not_declared_is_an_error() -> None:
    memory = Memory({"old": {"ttl": "PT1H", "size": 5}}, replaces=True)
    memory._do = lambda change: memory.objects.update({change.name: {"size": 100, **change.want}})  # type: ignore[method-assign]
    with pytest.raises(CachingError, match="size, which was not declared, went from 5 to 100"):
        reconcile(Mode(), memory, Wanted({"old": {"ttl": "PT3H"}}))


def test_partial_failure_tells_what_is_done_and_a_second_run_completes() -> None:
    memory = Memory(HAVE, errors={"old": ApiError("PUT answered 500", 500)})
    with pytest.raises(CachingError) as caught:
        reconcile(Mode(), memory, WANT)
    results = caught.value.results
    assert results["changed"] is True
    assert results["failures"] == [{"name": "old", "action": "update", "error": "PUT answered 500"}]
    assert results["summary"] == {**SUMMARY, "updated": []}
    assert "1 of 3 changes" in caught.value.message and "done: new, extra" in caught.value.message
    memory.faults = {}
    assert reconcile(Mode(), memory, WANT)["summary"]["updated"] == ["old"]


def test_nothing_done_is_not_changed() -> None:
    memory = Memory(HAVE, errors={"old": ApiError("PUT answered 500", 500)})
    with pytest.raises(CachingError) as caught:
        reconcile(Mode(), memory, Wanted({"old": {"ttl": "PT3H"}}))
    assert caught.value.results["changed"] is False


@pytest.mark.parametrize("error", [ApiError("401", 401), ApiError("403", 403), Unreachable("gave up", passing=False)])
def test_after_a_hopeless_error_the_rest_is_not_tried(error: CachingError) -> None:
    memory = Memory(errors={f"n{number}": error for number in range(50)})
    memory.concurrency = 1
    with pytest.raises(CachingError) as caught:
        reconcile(Mode(), memory, Wanted({f"n{number}": {} for number in range(50)}))
    assert len(memory.writes) == 1 and len(caught.value.results["failures"]) == 50


def test_an_answer_that_got_lost_is_judged_by_the_state() -> None:
    memory = Memory()

    def write(change: Change) -> bool:
        memory.objects[change.name] = dict(change.want)
        raise Unreachable("no answer")

    memory.write = write  # type: ignore[method-assign]
    assert reconcile(Mode(), memory, Wanted({"new": {"size": 1}}))["changed"] is True


def test_reading_back_fails() -> None:
    memory = Memory(HAVE, dies=True)
    with pytest.raises(CachingError, match="3 of 3 changes to things were acknowledged, but reading back failed: no answer") as caught:
        reconcile(Mode(), memory, WANT)
    assert caught.value.results["changed"] is True


def test_applied_later() -> None:
    memory = Memory(HAVE, late=[], settles_after=3)
    assert reconcile(Mode(), memory, WANT, wait_timeout=5)["changed"] and memory.reads >= 5


def test_applied_never() -> None:
    memory = Memory(HAVE, late=[], settles_after=10**6)
    with pytest.raises(CachingError, match="3 of 3 changes"):
        reconcile(Mode(), memory, WANT, wait_timeout=0.3)


def test_a_delete_that_did_nothing() -> None:
    with pytest.raises(CachingError, match="the thing is still there"):
        reconcile(Mode(), Memory(HAVE, keeps=True), Wanted({}, ["extra"]))


@pytest.mark.parametrize("hidden", [("zip",), ("zip", "note")])
def test_a_field_that_is_never_shown_does_not_differ_for_ever(hidden: tuple[str, ...]) -> None:
    memory, mode = Memory({"a": {"ttl": "PT1H", "zip": False}}, hides=hidden), Mode()
    want = Wanted({"a": {"ttl": "PT2H", "zip": True, "note": "x"}})
    assert reconcile(mode, memory, want)["changed"] and memory.objects["a"]["zip"] is True
    assert not reconcile(mode, memory, want)["changed"]
    assert any("does not show" in text for text in mode.warnings)


def test_a_field_that_others_show_is_not_set_here() -> None:
    memory = Memory({"a": {"size": None}, "b": {"size": 7}})
    assert reconcile(Mode(), memory, Wanted({"a": {"size": 5}}))["summary"]["updated"] == ["a"]


def test_a_field_that_others_show_and_this_one_never_is_an_error() -> None:
    memory = Memory({"a": {"size": None}, "b": {"size": 7}}, ignores=("size",))
    memory.objects["a"]["size"] = None
    memory._do = lambda change: None  # type: ignore[method-assign]
    with pytest.raises(CachingError, match="size is None, wanted 5"):
        reconcile(Mode(), memory, Wanted({"a": {"size": 5}}))


def test_hidden_fields_go_along_when_something_else_is_written() -> None:
    seen: list[Change] = []
    memory = Memory({"a": {"size": 1}}, hides=("zip",))
    write = memory.write
    memory.write = lambda change: (seen.append(change), write(change))[1]  # type: ignore[method-assign]
    reconcile(Mode(), memory, Wanted({"a": {"size": 2, "zip": True}}))
    assert seen[0].fields == ["size", "zip"]


def test_a_field_of_unknown_meaning_may_move_but_not_vanish() -> None:
    memory = Memory({"a": {"size": 1, "any": 1}})
    memory._do = lambda change: memory.objects.update(a={"size": 2, "any": 99})  # type: ignore[method-assign]
    assert reconcile(Mode(), memory, Wanted({"a": {"size": 2}}))["changed"]
    memory._do = lambda change: memory.objects.update(a={"size": 3})  # type: ignore[method-assign]
    with pytest.raises(CachingError, match="any, which was not declared, went from 99 to None"):
        reconcile(Mode(), memory, Wanted({"a": {"size": 3}}))


def test_an_update_that_lost_the_object_has_changed_it() -> None:
    memory = Memory({"a": {"size": 1}})

    def write(change: Change) -> bool:
        del memory.objects["a"]
        raise CachingError("recreating failed")

    memory.write = write  # type: ignore[method-assign]
    with pytest.raises(CachingError) as caught:
        reconcile(Mode(), memory, Wanted({"a": {"size": 2}}))
    assert caught.value.results["changed"] is True and caught.value.results["diff"] == {"before": {"a": {"size": 1}}, "after": {}}


@pytest.mark.parametrize(("kind", "have", "want"), [
    ("duration", "PT120M", "PT2H"), ("duration", 7200, "PT2H"), ("duration", 7200.0, "PT2H"), ("integer", "5", 5), ("integer", 5.0, 5),
    ("enum", "lru", "LRU"), ("boolean", "true", True), ("boolean", None, False), ("boolean", 0, False), ("set", ["b", "a"], ["a", "b", "a"]),
    ("text", 5, "5"), ("any", {"a": 1}, {"a": 1}), ("number", "1.5", 1.5),
])
def test_same_meaning(kind: str, have: t.Any, want: t.Any) -> None:
    assert same(kind, have, want)


@pytest.mark.parametrize(("kind", "have", "want"), [
    ("duration", "PT1H", "PT2H"), ("duration", "soon", "PT2H"), ("integer", 5.5, 5), ("integer", True, 1), ("enum", "LFU", "LRU"),
    ("boolean", None, True), ("boolean", "maybe", True), ("set", "ab", ["a", "b"]), ("any", [1], [2]), ("number", True, 1), ("integer", "1e999999", 5),
])
def test_other_meaning(kind: str, have: t.Any, want: t.Any) -> None:
    assert not same(kind, have, want)


def test_only_declared_fields_are_compared() -> None:
    assert differing(KINDS, {"ttl": "PT1H", "size": 3}, {"size": 3, "unknown": 1}, KINDS) == []
    assert canonical("duration", None) is None
