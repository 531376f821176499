# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Round trips of generated data between real clusters: an RDB of each shard, replayed into another shape, key by key the same."""

from __future__ import annotations

import os
import signal
import threading
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._replay import Matcher
from ansible_collections.exalt.caching.plugins.module_utils._redis import Redis
from ansible_collections.exalt.caching.plugins.module_utils._resources import replaying

from tests.harness import datasets
from tests.harness.redis_tls import Tls
from tests.harness.replays import replay, source
from tests.harness.scratch import Scratch, ScratchError, server, up

SETS = int(os.environ.get("TRIALS") or 4)   # for each flavour; `make faults` makes more


class Clusters(t.NamedTuple):
    source: Scratch
    targets: dict[int, Scratch]


@pytest.fixture(scope="module", params=["valkey", "redis"])
def clusters(request, tmp_path_factory) -> Iterator[Clusters]:
    flavour = request.param
    folder = tmp_path_factory.mktemp(flavour)
    made = {name: Scratch(folder / name, flavour, shards, options={"appendonly": "yes"} if name == "t5" else {})
            for name, shards in (("s", 3), ("t3", 3), ("t5", 5), ("t1", 1))}
    try:
        up(*made.values())
        yield Clusters(made["s"], {3: made["t3"], 5: made["t5"], 1: made["t1"]})
    finally:
        for one in made.values():
            one.down()


def same(source: Scratch, target: Scratch, apart: int = 0) -> datasets.Facts:
    """No difference; `apart`: milliseconds that an expiry may be off, where MIGRATE has passed on what is left of it."""
    before = datasets.facts(source)
    assert datasets.differences(before, datasets.facts(target), apart) == []
    assert datasets.functions(source) == datasets.functions(target)
    return before


@pytest.mark.hazard("H43")
def test_generated_sets_are_the_same_in_any_shape(clusters: Clusters) -> None:
    for seed in range(SETS):
        clusters.source.flush()
        datasets.fill(clusters.source, seed, big=seed == 0)
        files = clusters.source.saved()
        for shards, target in clusters.targets.items():
            target.flush()
            done = replay(files, target)
            before = same(clusters.source, target)
            assert done.key_count == len(before) and done.expired == done.skipped == done.resent == 0 and done.passes == 1, (seed, shards, done)
            verdict = done.sample.compare(Redis(target.args))
            assert verdict.compared >= 0.9 * verdict.looked_at >= 30 and not verdict.missing and not verdict.different, (seed, shards, verdict)


def test_the_comparison_finds_what_differs(clusters: Clusters) -> None:
    """The controls: one value, one expiry, one key, one field changed."""
    clusters.source.flush()
    datasets.fill(clusters.source, 77)
    target = clusters.targets[3]
    target.flush()
    done = replay(clusters.source.saved(), target, sample=400)
    before = datasets.facts(clusters.source)
    cluster = target.cluster()
    for number, key in enumerate(sorted(done.sample.kept)[:30]):
        cluster.delete(key) if number % 2 else cluster.pexpireat(key, int(time.time() * 1000) + 10**8)
    assert len(datasets.differences(before, datasets.facts(target))) == 30
    verdict = done.sample.compare(Redis(target.args))
    assert len(verdict.missing) == 15 and len(verdict.different) == 15


def test_expired_keys_are_counted_exactly(clusters: Clusters) -> None:
    clusters.source.flush()
    route = datasets.router(clusters.source)
    now = int(time.time())
    for number in range(90):
        name = b"k%d" % number
        client = clusters.source.client(route(name))
        client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        client.set(name, "v")
        if number % 3:   # 30 for good, 30 that are over when the replay starts, 30 that end while it runs or later
            client.expireat(name, now + 3 if number % 3 == 1 else now + 3600)
    files = clusters.source.saved()
    while time.time() < now + 5:
        time.sleep(0.1)
    target = clusters.targets[5]
    target.flush()
    done = replay(files, target)
    assert (done.key_count, done.expired) == (60, 30) and target.sizes() == 60


def test_keys_that_end_during_the_replay_are_no_restored_ones(clusters: Clusters) -> None:
    clusters.source.flush()
    route = datasets.router(clusters.source)
    end = int(time.time()) + 3
    for number in range(40):
        name = b"k%d" % number
        clusters.source.client(route(name)).set(name, "v", exat=end if number % 2 else end + 3600)
    files = clusters.source.saved()
    target = clusters.targets[3]
    target.flush()
    third = files[-1].name

    def wait(_place: int) -> None:
        """The last file is read only when half of the keys have ended."""
        if time.time() < end + 1.2 and target.sizes() >= 20:
            time.sleep(max(0.0, end + 1.2 - time.time()))

    done = replay(files, target, slow=wait)
    assert third and (done.key_count, done.expired) == (20, 20)


@pytest.mark.parametrize("conflict", ["fail", "skip", "replace"])
def test_what_is_there_already(clusters: Clusters, conflict: str) -> None:
    clusters.source.flush()
    datasets.fill(clusters.source, 5)
    files = clusters.source.saved()
    before = datasets.facts(clusters.source)
    target = clusters.targets[5]
    target.flush()
    some = sorted(before)[::5]
    cluster = target.cluster()
    for key in some:
        cluster.set(key, "mine", ex=5000)
    if conflict == "fail":
        with pytest.raises(CachingError, match="is at the target already"):
            replay(files, target, conflict=conflict)
        assert all(cluster.get(key) == b"mine" for key in some)
        done = replay(files, target, conflict=conflict, ours=True)
        assert done.key_count == len(before) and target.sizes() == len(before)
        return
    done = replay(files, target, conflict=conflict)
    left = 0 if conflict == "replace" else len(some)
    assert (done.skipped, done.key_count) == (left, len(before) - left)
    found = datasets.facts(target)
    assert sorted(key for key in before if before[key] != found[key]) == (some if conflict == "skip" else [])
    if conflict == "replace":
        same(clusters.source, target)


def test_patterns_take_just_what_they_match(clusters: Clusters) -> None:
    clusters.source.flush()
    datasets.fill(clusters.source, 9)
    before = datasets.facts(clusters.source)
    patterns = ("product:*[0-4]", "{tag[12]}*")
    target = clusters.targets[1]
    target.flush()
    done = replay(clusters.source.saved(), target, patterns=patterns)
    found = datasets.facts(target)
    client = clusters.source
    by_redis = {key for node in client.primaries() for pattern in patterns for key in client.client(node).keys(pattern)}
    matches = Matcher(patterns).match
    assert matches and by_redis == {key for key in before if matches(key)} == set(found) and 0 < len(found) < len(before)
    assert done.key_count == len(found) and done.left_out == len(before) - len(found) and done.functions == 0
    assert datasets.differences({key: before[key] for key in found}, found) == []


def test_a_set_of_another_version(tmp_path) -> None:
    """From Redis 7 into Valkey 9 all keys are taken; the other way none is, and the reason is said."""
    with Scratch(tmp_path / "r", "redis", 1) as old, Scratch(tmp_path / "v", "valkey", 2) as new:
        datasets.fill(old, 3)
        files = old.saved()
        done = replay(files, new)
        before, after = datasets.facts(old), datasets.facts(new)
        assert set(before) == set(after) and done.key_count == len(before)
        assert all(before[key][2] == after[key][2] for key in before) and not done.sample.compare(Redis(new.args)).different
        old.flush()
        with pytest.raises(CachingError, match="DUMP payload version or checksum are wrong"):
            replay(new.saved(), old)
        assert old.sizes() == 0


@pytest.fixture(scope="module", params=["valkey", "redis"])
def pairs(request, tmp_path_factory) -> Iterator[tuple[Scratch, Scratch]]:
    folder = tmp_path_factory.mktemp(request.param)
    source, target = Scratch(folder / "s", request.param, 3, 1), Scratch(folder / "t", request.param, 3, 1)
    try:
        up(source, target)
        yield source, target
    finally:
        source.down()
        target.down()


@pytest.fixture
def pair(pairs: tuple[Scratch, Scratch]) -> tuple[Scratch, Scratch]:
    """A source of three shards, and a target with replicas, both empty and whole."""
    for one in pairs:
        one.until(one.whole, "a cluster is not whole")
        one.flush()
    return pairs


class Break:
    """Something that happens once, when so many bytes of a file were read."""

    def __init__(self, at: int, act: t.Callable[[], None]) -> None:
        self.at, self.act, self.happened = at, act, False

    def __call__(self, place: int) -> None:
        if place >= self.at and not self.happened:
            self.happened = True
            self.act()


@pytest.mark.hazard("H43")
def test_after_and_during_failovers(pair: tuple[Scratch, Scratch]) -> None:
    """The source has failed over before; the target does so in the middle: gently, by force, and by a kill."""
    source, target = pair
    source.promote(source.replica_of(source.primaries()[0]))
    datasets.fill(source, 21)
    datasets.many(source, 6000, 1)
    files = source.saved()
    for how in ("", "FORCE", "kill"):
        target.until(target.whole, "the target is not whole")
        target.flush()
        victim = target.primaries()[1]

        def act(how: str = how, victim: t.Any = victim) -> None:
            if how == "kill":
                target.kill(victim)
            else:
                target.promote(target.replica_of(victim), how)

        happens = Break(200_000, act)
        done = replay(files, target, slow=happens)
        target.until(target.whole, "the target is not whole")
        assert happens.happened and len(same(source, target)) == done.key_count, (how, done[:9])
        assert done.resent > 0 or how != "kill", done[:9]
        if how == "kill":
            assert done.passes > 1
            target.start(victim)


def test_during_resharding(pair: tuple[Scratch, Scratch]) -> None:
    """Slots move while keys come in: MOVED and ASK are followed. Before it, the source was resharded too."""
    source, target = pair
    datasets.fill(source, 22)
    one, two, three = source.primaries()
    source.move(range(0, 300), one, two)
    source.move(range(16000, 16100), three, one)
    datasets.many(source, 6000, 2)
    files = source.saved()
    first, second, _third = target.primaries()
    moving = threading.Thread(target=target.move, args=(range(0, 400), first, second))

    def act() -> None:
        moving.start()
        time.sleep(0.1)

    done = replay(files, target, slow=Break(1, act))
    moving.join()
    assert done.resent > 0 and len(same(source, target, apart=1000)) == done.key_count


def test_a_stopped_primary_is_waited_for(pair: tuple[Scratch, Scratch]) -> None:
    """A primary that hangs is failed over, and wakes as a replica; nothing is lost or done twice."""
    source, target = pair
    datasets.many(source, 6000, 3)
    files = source.saved()
    victim = target.primaries()[0]
    done = replay(files, target, slow=Break(200_000, lambda: target.kill(victim, signal.SIGSTOP)))
    target.kill(victim, signal.SIGCONT)
    target.until(target.whole, "the target is not whole")
    assert len(same(source, target)) == done.key_count == 6000 and done.passes > 1


def test_no_memory_is_one_clear_line(tmp_path) -> None:
    with Scratch(tmp_path / "s", shards=1) as source, Scratch(tmp_path / "t", shards=1, options={"maxmemory": "4mb"}) as target:
        datasets.many(source, 20_000, 4)
        with pytest.raises(CachingError, match="has no memory left") as raised:
            replay(source.saved(), target)
        assert "\n" not in raised.value.message and 0 < target.sizes() < 20_000
        target.client(target.nodes[0]).config_set("maxmemory", "100mb")
        assert replay(source.saved(), target, ours=True).key_count == 20_000
        same(source, target)


def test_a_cluster_that_stays_broken_ends_in_time(tmp_path) -> None:
    with Scratch(tmp_path / "s", shards=1) as source, Scratch(tmp_path / "t", shards=3) as target:
        datasets.many(source, 3000, 5)
        happens = Break(100_000, lambda: target.kill(target.nodes[2]))
        began = time.monotonic()
        with pytest.raises(CachingError, match=r"not every slot|could not be written|was lost"):
            replay(source.saved(), target, slow=happens, patience=3.0)
        assert happens.happened and time.monotonic() - began < 25


def test_a_password_is_used_and_a_wrong_one_told(tmp_path) -> None:
    with Scratch(tmp_path / "s", shards=1, password="canary") as target, Scratch(tmp_path / "t", shards=1) as source:
        datasets.fill(source, 6)
        files = source.saved()
        assert replay(files, target).key_count == target.sizes()
        target.password, kept = "wrong", target.password
        with pytest.raises(CachingError, match="does not accept the user or password"):
            replay(files, target)
        target.password = kept


def test_by_tls_with_a_client_certificate(tmp_path) -> None:
    tls = Tls(tmp_path)
    with Scratch(tmp_path / "s", "redis", 1) as origin, Scratch(tmp_path / "t", "redis", 1, options=tls.options, password="canary") as target:
        datasets.fill(origin, 41, big=True)
        files = origin.saved()
        args = tls.args(target)
        done = replaying.replay(Redis(args), [source(path) for path in files], replaying.Job(sample=100, patience=5.0))
        assert done.key_count == len(same(origin, target))
        with pytest.raises(CachingError, match="(?i)certificate|ssl|not every slot"):
            replaying.replay(Redis({**args, "redis_ca_path": None}), [source(path) for path in files], replaying.Job(patience=1.0))


def test_the_servers_are_what_they_are_said_to_be() -> None:
    assert Path(server("valkey").program).name == "valkey-server" and Path(server("redis").program).name == "redis-server"
    assert issubclass(ScratchError, Exception)
