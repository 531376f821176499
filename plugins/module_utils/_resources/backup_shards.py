# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The shards of a backup on their way from the nodes to the store: each in a thread of its own, in one pass, without a file."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from .. import _backup_plan, _manifest
from .._backup_plan import Source, Unsettled
from .._errors import CachingError
from .._manifest import Content
from .._pack import pack
from .._store import Store
from .._stream import Broken, Stream
from .._wait import Deadline
from .backup_sources import Sources

_ATTEMPTS = 4
_LOOK = 0.2


class Settings(t.NamedTuple):
    """How the data is packed and read."""

    level: int
    recipients: t.Sequence[t.Any]
    bandwidth: int
    parallel: int
    quiesce: float


class _Job:
    """A shard on its way."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.attempt = 0
        self.bytes = 0
        self.begun = 0.0
        self.prepared = threading.Event()
        self.started = threading.Event()  # its snapshot is being made, or it has failed
        self.stream: Stream | None = None
        self.written: list[str] = []


class Shards:
    """Takes every shard of ``plan`` into the set ``prefix`` of ``store``."""

    def __init__(self, sources: Sources, store: Store, prefix: str, plan: t.Sequence[Source], settings: Settings) -> None:
        self.sources = sources
        self.store = store
        self.prefix = prefix
        self.settings = settings
        self.jobs = [_Job(source) for source in plan]
        self.paused_ms = 0
        self._stop = threading.Event()
        self._go = threading.Event()

    def take(self, seen: t.Callable[[int, str], None]) -> list[Content]:
        """All shards, in the order of their slots. ``seen`` is told the bytes so far and what is under way, again and again."""
        with ThreadPoolExecutor(self.settings.parallel or len(self.jobs), thread_name_prefix="shard") as threads:
            running = {threads.submit(self._shard, job): job for job in self.jobs}
            try:
                if self.settings.quiesce:
                    self._hold(running)
                self._go.set()
                self._until_done(running, seen)
            except BaseException:
                self._give_up()
                raise
            return [future.result() for future in running]

    def _until_done(self, running: t.Mapping[Future[Content], _Job], seen: t.Callable[[int, str], None]) -> None:
        left = set(running)
        while left:
            done, left = wait(left, _LOOK, FIRST_COMPLETED)
            for future in done:
                future.result()  # the first failure ends all
            under_way = [f"{running[future].source.label} from {running[future].source.address}" for future in left if running[future].bytes]
            seen(sum(job.bytes for job in self.jobs), ", ".join(sorted(under_way)))

    def _give_up(self) -> None:
        self._stop.set()
        self._go.set()
        for job in self.jobs:
            if job.stream:
                job.stream.close()

    # ---- one shard

    def _shard(self, job: _Job) -> Content:
        try:
            return self._attempts(job)
        finally:
            job.prepared.set()
            job.started.set()

    def _attempts(self, job: _Job) -> Content:
        """Until one attempt ends with the node as it was when it was chosen."""
        reason = ""
        for attempt in range(1, _ATTEMPTS + 1):
            if attempt > 1:
                self._forget(job)
                job.source = self.sources.again(job.source.slots, self._stop)
                self.sources.once(f"slots {job.source.label} are taken again, from {job.source.address}: {reason}")
            if self._stop.is_set():
                break
            job.attempt, job.bytes = attempt, 0
            try:
                entry = self._one(job)
            except (Broken, Unsettled) as error:
                reason = error.message
                time.sleep(0.2)
                continue
            reason = self.sources.changed(job.source)
            if not reason:
                return entry
        if self._stop.is_set():
            raise CachingError("the backup was given up")
        raise CachingError(f"the slots {job.source.label} could not be taken in {_ATTEMPTS} attempts; the last one: {reason}")

    def _one(self, job: _Job) -> Content:
        source, encrypted = job.source, bool(self.settings.recipients)
        name = _manifest.shard_object(source.slots, job.attempt, encrypted)
        stream = job.stream = self.sources.open(source, marked=not self.settings.quiesce)
        with contextlib.closing(stream):
            stream.prepare()
            job.prepared.set()
            self._go.wait()
            lag = self.sources.lag(source)
            stream.begin()
            job.begun = stream.begun
            job.started.set()
            stream.await_data()
            job.written.append(name)
            with self.store.write(f"{self.prefix}/{name}") as writer:
                pack(self._counted(job, stream), writer.write, self.settings.level, self.settings.recipients)
        return {
            "slots": [list(pair) for pair in source.slots],
            "node": {"id": source.id, "address": source.address, "role": source.role, "primary_id": source.primary_id},
            "epoch": source.epoch, "server": _backup_plan.server(self.sources.view(source.address).info),
            "replication_id": stream.replication_id, "offset": stream.offset, "lag_bytes": lag,
            "began": int(stream.begun * 1000), "ended": int(time.time() * 1000),
            "key_count": stream.found.key_count, "expiring": stream.found.expiring,
            "rdb_version": stream.found.version, "bytes": stream.size, "crc64": f"{stream.crc:016x}", "trailer": f"{stream.trailer:016x}",
            "object": name, "stored_bytes": writer.size, "sha256": writer.sha256,
        }

    def _counted(self, job: _Job, stream: Stream) -> t.Iterator[memoryview]:
        for piece in stream.pieces(self.settings.bandwidth):
            job.bytes += len(piece)
            yield piece

    def _forget(self, job: _Job) -> None:
        """An object of an attempt that does not count. Where it can't be deleted it stays; no manifest names it."""
        for name in job.written:
            with contextlib.suppress(CachingError):
                self.store.delete(f"{self.prefix}/{name}")
        job.written.clear()

    # ---- holding writes while the shards begin

    def _hold(self, running: t.Mapping[Future[Content], _Job]) -> None:
        """Writes are held from when every node is ready until every snapshot has begun, and never longer than was allowed."""
        for job in self.jobs:
            job.prepared.wait(60.0)
        self._failed(running)
        primaries = sorted({job.source.primary for job in self.jobs})
        deadline = Deadline(self.settings.quiesce)
        begun = self.sources.pause(primaries, self.settings.quiesce)
        try:
            self.sources.level([job.source for job in self.jobs], deadline)
            self._go.set()
            for job in self.jobs:
                job.started.wait(deadline.left)
        finally:
            self.sources.unpause(primaries)
            self.paused_ms = int(1000 * min(time.monotonic() - begun, self.settings.quiesce))
        self._failed(running)
        late = [job.source.label for job in self.jobs if not job.started.is_set()]
        if late:
            self.sources.once(f"quiesce: the snapshots of {', '.join(late)} had not begun after {self.settings.quiesce:g} s; writes went on before them")

    @staticmethod
    def _failed(running: t.Mapping[Future[Content], _Job]) -> None:
        for future in running:
            if future.done():
                future.result()
