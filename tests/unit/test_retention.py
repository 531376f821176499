# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention: the policy as a truth table, and whatever happens to a store as a state machine."""

from __future__ import annotations

import os
import shutil
import tempfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _manifest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources import verification
from ansible_collections.exalt.caching.plugins.module_utils._resources.catalogue import Catalogue, Set
from ansible_collections.exalt.caching.plugins.module_utils._resources.pruning import Pruning
from ansible_collections.exalt.caching.plugins.module_utils._retention import Candidate, Policy, checked, decide
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as some
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from tests.harness.made_sets import make

HOUR, DAY = 3600, 86400
NOW = 1_795_600_000     # Wednesday 2026-11-25 09:46:40 UTC
KEY = "a key for the tests"


def kept(policy: Policy, *ages: float, safe: t.Sequence[int] = ()) -> list[int]:
    """Places of the candidates of these ages (seconds) that are kept."""
    rows = [Candidate(str(place), "regular", int((NOW - age) * 1000)) for place, age in enumerate(ages)]
    found = decide(rows, policy, {str(place): "safe" for place in safe}, NOW * 1000)
    return [place for place in range(len(ages)) if found[str(place)]]


@pytest.mark.parametrize(("policy", "ages", "left"), [
    (Policy(last=2), (0, 10, 20), [0, 1]),
    (Policy(last=2), (20, 10, 0), [1, 2]),
    (Policy(hourly=2), (0, 60, HOUR, HOUR + 60, 3 * HOUR), [0, 2]),
    (Policy(daily=2), (0, HOUR, DAY, DAY + HOUR, 2 * DAY), [0, 2]),
    (Policy(daily=3), (0, 5 * DAY, 9 * DAY, 12 * DAY), [0, 1, 2]),          # days without a backup take no place
    (Policy(weekly=2), (0, DAY, 2 * DAY, 3 * DAY, 4 * DAY), [0, 3]),        # Wed Tue Mon | Sun Sat
    (Policy(monthly=2), (0, 24 * DAY, 25 * DAY, 60 * DAY), [0, 2]),         # 25 and 1 November | 31 October | September
    (Policy(within=2 * HOUR), (0, HOUR, 2 * HOUR, 3 * HOUR), [0, 1]),
    (Policy(last=1, daily=2), (0, HOUR, DAY), [0, 2]),
    (Policy(within=1), (DAY, 2 * DAY), [0]),                                # the newest stays, however old
])
def test_what_a_policy_keeps(policy: Policy, ages: tuple[float, ...], left: list[int]) -> None:
    assert kept(policy, *ages) == left


def test_each_kind_is_counted_for_itself() -> None:
    rows = [Candidate("s", "safety", NOW * 1000), Candidate("r", "regular", (NOW - DAY) * 1000), Candidate("o", "regular", (NOW - 2 * DAY) * 1000)]
    found = decide(rows, Policy(last=1), {}, NOW * 1000)
    assert found["s"] and found["r"] and not found["o"]


def test_problems_take_no_place_and_holds_stay() -> None:
    rows = [Candidate("bad", "regular", (NOW + DAY) * 1000, problem="of the future"), Candidate("good", "regular", NOW * 1000),
            Candidate("held", "regular", 1000, held=True), Candidate("old", "regular", 2000)]
    found = decide(rows, Policy(last=1), {}, NOW * 1000)
    assert "a problem" in found["bad"] and "keep_last (1 of 1)" in found["good"] and found["held"] == "held" and found["old"] == ""


@pytest.mark.hazard("H36")
@pytest.mark.parametrize(("policy", "minimum", "told"), [
    (Policy(), 1, "the policy keeps nothing"), (Policy(last=-1), 1, "keep_last: it can't be negative"),
    (Policy(last=1), 0, "minimum_redundancy: at least one"), (Policy(last=1), -1, "minimum_redundancy"),
])
def test_a_policy_that_keeps_nothing_is_refused(policy: Policy, minimum: int, told: str) -> None:
    with pytest.raises(CachingError, match=told):
        checked(policy, minimum)


def test_a_failure_tells_what_was_done(tmp_path: Path) -> None:
    store = open_store({"store_url": f"file://{tmp_path}"})
    ids = [make(store, "demo", NOW - number * DAY, "regular", KEY) for number in range(4)]
    options = {**{f"keep_{name}": value for name, value in Policy(last=1)._asdict().items()}, "minimum_redundancy": 1, "hold": [], "release": []}
    catalogue = Catalogue(store, "demo", KEY)
    catalogue.now = lambda: float(NOW)
    pruning = Pruning(options, catalogue)
    pruning.look()
    planned, delete = list(pruning.removed), store.delete
    assert sorted(planned) == sorted(ids[1:])

    def failing(name: str) -> None:
        if planned[1] in name:
            raise CachingError("the store is away")
        delete(name)

    store.delete = failing
    with pytest.raises(CachingError, match="the store is away") as caught:
        pruning.act()
    results = caught.value.results
    assert results["changed"] is True and results["removed"] == planned[:1] and sorted(results["kept"]) == sorted({*ids} - {planned[0]})
    assert results["reasons"][planned[1]] == "to be removed, but the run failed" and sorted(results["diff"]["after"]["backups"]) == sorted(results["kept"])


# A backup that is forged for less than an hour ahead, with the right key, is as good as a clock that is wrong by that.
class Retention(RuleBasedStateMachine):
    """Backups come, fail, rot, are forged and held, the clock goes on, and pruning runs between."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = open_store({"store_url": f"file://{self.folder}"})
        self.now = float(NOW)
        self.good: set[str] = set()     # regular ones that verify
        self.held: set[str] = set()
        self.lost: list[str] = []       # good ones that pruning took: each must have been allowed

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def catalogue(self) -> Catalogue:
        found = Catalogue(self.store, "demo", KEY)
        found.now = lambda: self.now
        return found

    @rule(target=ids, kind=some.sampled_from(["regular", "regular", "regular", "safety", "drill"]), pause=some.integers(1, 40 * HOUR))
    def take(self, kind: str, pause: int) -> str:
        self.now += pause
        made = make(self.store, "demo", self.now, kind, KEY)
        if kind == "regular":
            self.good.add(made)
        return made

    @rule(pause=some.integers(1, HOUR))
    def fail(self, pause: int) -> None:
        self.now += pause
        make(self.store, "demo", self.now, complete=False)

    @rule(ahead=some.integers(300 * DAY, 900 * DAY), key=some.sampled_from([KEY, "another key", None]))
    def forge_the_future(self, ahead: int, key: str | None) -> None:
        make(self.store, "demo", self.now + ahead, key=key)

    @rule(back=some.integers(0, 100 * DAY), key=some.sampled_from(["another key", None]))
    def forge_the_past(self, back: int, key: str | None) -> None:
        make(self.store, "demo", self.now - back, key=key)

    @rule(target=ids, one=consumes(ids), where=some.integers(0, 30))
    def rot(self, one: str, where: int) -> t.Any:
        """A bit of the data flips; the listing does not show it."""
        if one not in self.good:
            return one
        path = next((self.folder / "backups/demo" / one).glob("shard-*"))
        raw = bytearray(path.read_bytes())
        raw[where % len(raw)] ^= 1
        path.write_bytes(raw)
        self.good.discard(one)
        return multiple()

    @rule(one=ids)
    def hold(self, one: str) -> None:
        if (self.folder / "backups/demo" / one / "manifest.json").exists():
            self.prune(Policy(last=99), 1, hold=[one])
            self.held.add(one)

    @rule(one=ids)
    def release(self, one: str) -> None:
        if (self.folder / "backups/demo" / one / "manifest.json").exists():
            self.prune(Policy(last=99), 1, release=[one])
            self.held.discard(one)

    @rule(policy=some.builds(Policy, some.integers(0, 3), some.integers(0, 3), some.integers(0, 3), some.integers(0, 2), some.integers(0, 2),
                             some.sampled_from([0.0, 3600.0, 5 * DAY])), minimum=some.integers(1, 3))
    def prune_by(self, policy: Policy, minimum: int) -> None:
        if any(policy):
            self.prune(policy, minimum)

    def prune(self, policy: Policy, minimum: int, hold: t.Sequence[str] = (), release: t.Sequence[str] = ()) -> None:
        options = {**{f"keep_{name}": value for name, value in policy._asdict().items()}, "minimum_redundancy": minimum, "hold": hold, "release": release}
        before = {one.id for one in self.catalogue().sets()}
        newest = max(self.good, key=self.order, default=None)
        planned = Pruning(options, self.catalogue())
        planned.look()
        listing = sorted(str(path) for path in self.folder.rglob("*"))
        again = Pruning(options, self.catalogue())
        again.look()
        assert again.results == planned.results and sorted(str(path) for path in self.folder.rglob("*")) == listing, "looking changed something"
        again.act()
        after = {one.id for one in self.catalogue().sets()}
        assert before - after == set(planned.removed), "the plan and the deed differ"
        assert newest is None or newest in after, "the newest verified one is gone"
        assert self.held - set(release) <= after and set(hold) <= after, "a held one is gone"
        survivors = self.good & after
        assert len(survivors) >= min(minimum, len(self.good)), "too few good ones are left"
        fresh = {one for one in self.good if self.now * 1000 - self.order(one) < policy.within * 1000}
        assert fresh <= after and (not policy.last or set(sorted(self.good, key=self.order)[-1:]) <= after)
        assert not Catalogue(self.store, "demo", KEY).leftovers(), "leftovers stayed"
        self.good, self.held = survivors, (self.held | set(hold)) - set(release)
        repeat = Pruning({**options, "hold": [], "release": []}, self.catalogue())
        repeat.look()
        assert not repeat.removed and not repeat.leftovers.names, "a second run removes more"

    @staticmethod
    def order(identifier: str) -> int:
        return _manifest.time_of(identifier) or 0

    @invariant()
    def the_newest_verified_is_a_good_one(self) -> None:
        catalogue = self.catalogue()
        rows = catalogue.sets()
        verification.survey(catalogue, rows, "structure")
        found: Set | None = catalogue.newest(found=rows)
        assert (found.id if found else None) == max(self.good, key=self.order, default=None)


TRIALS = int(os.environ.get("TRIALS") or 1)
TestRetention = Retention.TestCase
TestRetention.settings = settings(
    max_examples=20 * TRIALS, stateful_step_count=20, deadline=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck), derandomize=TRIALS == 1)
