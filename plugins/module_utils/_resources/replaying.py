# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A whole replay: every shard's RDB once, then again for the slots of primaries that were lost on the way, until none was."""

from __future__ import annotations

import contextlib
import time
import typing as t
from contextlib import AbstractContextManager

from .. import _rdb
from .._errors import CachingError
from .._redis import ERRORS, Redis
from .._replay import Matcher, Replay
from .._replay_nodes import Owners
from . import replay_sample

_PIECE = 1 << 18
_MOST_PASSES = 6


class Source(t.NamedTuple):
    """One RDB: ``open`` gives its plain bytes from the begin, every time anew."""

    name: str
    open: t.Callable[[], AbstractContextManager[_rdb.Read]]


class Outcome(t.NamedTuple):
    """What a replay did. ``key_count`` keys are there now; ``expired`` ones had their time over; ``left_out``: by the patterns.

    Of those that were ``sent``, ``passing`` ones may have had their time over when they arrived.
    """

    key_count: int
    bytes: int
    seconds: float
    expired: int
    skipped: int
    left_out: int
    functions: int
    resent: int
    passes: int
    not_durable: list[str]
    sent: int
    passing: int
    sample: replay_sample.Sample


class Job(t.NamedTuple):
    """How to replay. ``ours``: keys that exist may come from an earlier run of the same job, so they are no conflict."""

    conflict: str = "fail"
    patterns: tuple[str, ...] = ()
    ours: bool = False
    patience: float = 60.0
    sample: int = 0


def ahead(cluster: Redis, addresses: t.Iterable[str]) -> float:
    """How far the clock of the servers is before that of this host; the one that is farthest, of those that answer."""
    found = []
    for address in addresses:
        host, _colon, port = address.rpartition(":")
        with contextlib.suppress(*ERRORS):
            seconds, micro = cluster.client(host.strip("[]"), int(port)).time()
            found.append(seconds + micro / 1e6 - time.time())
    return max(found, default=0.0)


def replay(cluster: Redis, sources: t.Sequence[Source], job: Job, step: t.Callable[[int, str], None] = lambda done, status: None) -> Outcome:
    """All keys of ``sources`` into the cluster. ``step`` is told how many were sent."""
    began = time.monotonic()
    told: list[Replay] = []
    owners = Owners(cluster, job.conflict, job.patience, job.ours, lambda: step(told[0].sent, f"pass {len(told)}") if told else None)
    try:
        clock = ahead(cluster, [primary.address for primary in owners.primaries])
        first = Replay(owners, job.conflict, job.patterns, ahead=clock)
        told.append(first)
        owners.skipped = first.skip
        sample = replay_sample.Sample(job.sample)
        functions = _pass(first, sources, job, sample)
        left = owners.durable(job.patience)
        owners.skipped = lambda command: None
        owners.ours = owners.ours or job.conflict != "replace"
        while owners.suspects:
            if len(told) == _MOST_PASSES:
                raise CachingError(f"primaries were lost in each of {_MOST_PASSES} passes; run it again when the cluster is calm")
            lost, owners.suspects = owners.suspects, set()
            again = Replay(owners, job.conflict, job.patterns, lost, clock)
            told.append(again)
            _pass(again, sources, job, None)
            left = owners.durable(job.patience)
        expired, passing = first.expired(), first.passing()
        return Outcome(
            key_count=first.sent + first.gone - first.skipped - expired, bytes=first.bytes, seconds=time.monotonic() - began, expired=expired,
            skipped=first.skipped, left_out=first.left_out, functions=functions, resent=owners.resent, passes=len(told), not_durable=left,
            sent=first.sent - first.skipped, passing=passing, sample=sample,
        )
    except OSError as error:
        raise CachingError(f"the replay was cut off: {error}") from None
    except CachingError as error:
        done = told[0].sent if told else 0
        raise CachingError(f"{error.message} (after {done} keys were sent; the same run again goes on)", **error.results) from None
    finally:
        owners.close()


def _pass(writer: Replay, sources: t.Sequence[Source], job: Job, sample: replay_sample.Sample | None) -> int:
    """Every source once. Functions belong to no slot; with patterns only keys are wanted."""
    known = 0
    matches = Matcher(job.patterns).match
    done: set[bytes] = set()
    for source in sources:
        with source.open() as read:
            reader = _rdb.Reader(read, _PIECE)
            for batch in reader.batches():
                new = [library for library in reader.functions if library not in done]
                if new and not job.patterns:
                    known += writer.functions(new, reader.version, job.conflict)
                done.update(new)
                if sample is not None:
                    sample.look([row for row in batch if matches(row[1])] if matches else batch)
                writer.feed(batch, reader.version)
            if not reader.key_count and not job.patterns:
                known += writer.functions([one for one in reader.functions if one not in done], reader.version, job.conflict)
                done.update(reader.functions)
    writer.finish()
    return known
