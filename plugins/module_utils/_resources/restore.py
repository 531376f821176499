# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Getting data back (S118): look at everything, say what would happen, and only then write; a run that was cut off goes on.

Nothing is written before every check is green. A restore that was begun is finished by running it again: it flushes again, or
takes keys that are there as its own, and its way back is the safety backup of the first run.
"""

from __future__ import annotations

import time
import typing as t

from .. import _manifest, _rdb, _topology
from .._cluster_health import View
from .._errors import CachingError
from .._pack import recipients
from .._progress import Progress
from .._redis import ERRORS, Redis
from .._replay import Matcher
from .._store import Store
from .._wait import wait_for
from . import replaying, restore_checks
from .operation_lock import Held
from .redis_nodes import Nodes
from .restore_record import Record
from .restore_set import Backup, choose, verified

if t.TYPE_CHECKING:
    import redis

Results = dict[str, t.Any]
Take = t.Callable[[], str]
SAMPLE = 300
RECENT = 1800.0    # seconds: what an unfinished restore that is older left may have been written to since
_TOLERATED = 0.05  # of the sample: what a service that goes on writing may have changed since


class Seen:
    """What was read of a backup on the way: all of it was opened, decrypted, and parsed to its end."""

    def __init__(self) -> None:
        self.all = self.matching = self.bytes = self.functions = self.expired = 0
        self.whole = False
        self.first: bytes | None = None   # a key that will be written
        self.used: list[int] = []
        self.versions: set[tuple[str, int]] = set()


class Restore:
    """One restore by replay. ``take``: makes a verified safety backup of the target and returns its id."""

    def __init__(self, params: t.Mapping[str, t.Any], cluster: Redis, store: Store, warn: t.Callable[[str], None], take: Take) -> None:
        self.params, self.cluster, self.store, self.warn, self.take = params, cluster, store, warn, take
        self.held = Held(store, params.get("lock"))
        self.scratch = params.get("scratch") is not None   # nobody else writes to the target, and it is thrown away
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.seen = Seen()
        self.plan: Results = {}
        self.diff: Results = {}

    # ---- before

    def prepare(self) -> None:
        """Every check. Raises one line with all that is not green; nothing was written then."""
        params = self.params
        _manifest.cluster_name(params["cluster"])
        if (params["flush"] or params["on_conflict"] == "replace") and params["confirm"] != params["cluster"]:
            what = "flush" if params["flush"] else "on_conflict replace"
            raise CachingError(f"confirm: {what} destroys data of {params['cluster']}; say so with confirm: {params['cluster']}")
        recipients(params["encrypt_to"] or [])   # of the safety backup: said now, not when it is taken
        self.held.look()
        self.views = self._looked()
        self.record = Record(self.store, params, {node.id for view in self.views for node in view.nodes}, self.warn)
        self.backup = self._chosen()
        resumed = self.record.started
        if self.backup.signature != "good":
            told = "it is not signed" if self.backup.signature == "none" else "no signing_key is given"
            self.notes.append(f"nobody has checked who wrote the backup {self.backup.id}: {told}")
        blocking, notes = restore_checks.unfit(self.views)
        self.problems += blocking
        self.notes += notes if not self.scratch else []
        self.primaries = _primaries(self.views)
        sizes = {address: self._size(address) for address in self.primaries} if not blocking else {}
        self.before = sum(sizes.values())
        if self.scratch and self.before:
            self.problems.append(f"the scratch server holds {self.before} keys already")
        self.libraries = restore_checks.libraries(self.cluster, self.primaries) if self.params["flush"] and not blocking else 0
        self.present = restore_checks.Present(self.cluster) if self.before and not blocking and not params["flush"] else None
        self._versions()
        if not self.problems:
            with self.held.kept() as still:
                self._examine(self.backup, still)
            self._versions()
            self._memory()
            self.problems += restore_checks.lacks_rights(self.cluster, self.primaries, self.params["flush"], self.seen.first, bool(self.seen.functions))
        if params["patterns"] and not self.seen.matching and not self.problems:
            self.notes.append(f"patterns: none of the {self.seen.all} keys of the backup matches (keys begin with the region, as in products::*)")
        if self.present and self.present.number and params["on_conflict"] == "fail" and not resumed:
            some = ", ".join(self.present.names)
            self.problems.append(f"{self.present.number} keys of the backup are at the target already ({some} …): on_conflict skip or replace, or flush")
        if self.backup.encrypted and self._needs_safety and not params["encrypt_to"]:
            self.notes.append(f"the backup {self.backup.id} is encrypted, and the safety backup of the target is not: give encrypt_to")
        self._plan(sizes)
        if self.problems:
            raise CachingError(f"nothing was written: {'; '.join(self.problems)}", plan=self.plan, problems=self.problems)
        self._tell(self.notes)

    def _chosen(self) -> Backup:
        """The backup that is asked for, or the one that an unfinished run began with, unless that is gone."""
        begun = self.record.started
        if begun is None:
            return choose(self.store, self.params, self.params["id"])
        identifier, minutes = str(begun["backup"]), f"{self.record.age / 60:.0f} minutes ago"
        gone = self.store.get(f"{_manifest.folder(self.params['cluster'], identifier)}/{_manifest.MANIFEST}") is None
        if not gone or self.params["id"] == identifier:
            return choose(self.store, self.params, identifier)
        way_back = f"the target as it was before is {begun['safety_backup']}" if begun.get("safety_backup") else "it had no safety backup"
        told = f"the restore of {identifier} that was begun {minutes} and not finished can't go on, as that backup is gone from the store; {way_back}"
        if not self.params["flush"]:
            raise CachingError(
                f"{told}. Its keys may be at the target: nothing was written by this run. To go on at once with another backup, name it as id "
                "(redis_backup_info lists them), with on_conflict or flush as you want it"
            )
        found = choose(self.store, self.params, self.params["id"])
        self.warn(f"{told}. This is a new restore, of {found.id}, which empties the target first")
        self.record.supersede()
        return found

    def _tell(self, notes: t.Sequence[str]) -> None:
        """One warning, however many nodes it is about."""
        if notes:
            self.warn("; ".join(notes[:4]) + (f"; and {len(notes) - 4} more of this kind" if len(notes) > 4 else ""))

    def _size(self, address: str) -> int:
        try:
            return int(self._client(address).dbsize())
        except ERRORS as error:
            raise self.cluster.refusal_at(address, error) from None

    def _versions(self) -> None:
        infos = {address: view.info for address, (_share, view) in self.primaries.items()}
        for flavour, version in sorted(self.seen.versions or self.backup.versions):
            self.problems += [text for text in restore_checks.refusal(flavour, version, infos) if text not in self.problems]

    def _examine(self, backup: Backup, still: t.Callable[[], None]) -> None:
        """Read all of the backup, as the restore will: digests, decryption, structure; and count what it would do. ``still`` ends it."""
        matches, present, seen = Matcher(self.params["patterns"]).match, self.present, self.seen
        functions: set[bytes] = set()
        for source in backup.sources:
            with source.open() as read:
                reader = _rdb.Reader(read)
                for batch in reader.batches():
                    still()
                    seen.all += len(batch)
                    chosen = [row for row in batch if matches(row[1])] if matches else batch
                    seen.matching += len(chosen)
                    seen.first = seen.first or (bytes(chosen[0][1]) if chosen else None)
                    seen.bytes += sum(len(row[5]) for row in chosen)
                    now = int(time.time() * 1000)
                    live = [row[1] for row in chosen if row[2] is None or row[2] > now]
                    seen.expired += len(chosen) - len(live)
                    if present:
                        present.look(live)
            functions.update(reader.functions)
            seen.versions.add((reader.flavour, reader.version))
            used = reader.aux.get("used-mem", "")
            seen.used.append(int(used) if used.isdigit() else 0)
        seen.functions, seen.whole = 0 if matches else len(functions), True
        if backup.key_count is not None and backup.key_count != seen.all:
            self.problems.append(f"the backup says that it has {backup.key_count} keys, and {seen.all} are in it")

    def _memory(self) -> None:
        share = self.seen.matching / self.seen.all if self.seen.all else 0.0
        needed = restore_checks.needs(self.seen.used, share)
        nodes = {address: (part, view.info) for address, (part, view) in self.primaries.items()}
        again = self.params["flush"] or self.record.started is not None  # what an earlier run wrote is not needed twice
        problems, notes = restore_checks.lacks_memory(needed, nodes, again)
        self.problems += problems
        self.notes += notes if not self.scratch else []

    def _plan(self, sizes: t.Mapping[str, int]) -> None:
        params, seen = self.params, self.seen
        rate = self.record.rate()
        # What is emptied is not looked through, and where a check was not green before that, nothing was.
        here = None if not seen.whole or params["flush"] and self.before else self.present.number if self.present else 0
        lost = self.before if params["flush"] else here if params["on_conflict"] == "replace" else 0
        skipped = here if params["on_conflict"] == "skip" and not params["flush"] else 0
        started = self.record.started
        safety = (started or {}).get("safety_backup") if started else "taken first" if self._needs_safety else None
        self.plan = {
            "backup": self.backup.id, "taken": self.backup.taken, "mode": "replay", "key_count": seen.matching, "bytes": seen.bytes,
            "functions": seen.functions, "patterns": list(params["patterns"]), "sources": [source.name for source in self.backup.sources],
            "into": [{"node": address, "key_count": sizes.get(address), "share": round(part, 4)} for address, (part, _v) in self.primaries.items()],
            "seconds": max(0.1, round(seen.matching / rate, 1)) if rate else None, "rate_known_from": "earlier restores" if rate else "nothing yet",
            "at_target": self.before, "present": here, "skipped_count": skipped, "expired": seen.expired if seen.whole else None, "lost": lost,
            "resumes": started is not None, "safety_backup": safety,
        }
        new = seen.matching - seen.expired - (skipped or 0)
        self.diff = {"before": {"key_count": self.before}, "after": {"backup": self.backup.id, "restored": new, "lost": lost}}

    # ---- the work

    def act(self) -> Results:
        """Safety backup, flush, replay, and a look at what is there now."""
        params, resumed = self.params, self.record.started
        self.held.look()
        safety = resumed.get("safety_backup") if resumed else None
        if resumed:
            way_back = f"its way back is {safety}" if safety else "it had no safety backup"
            self.warn(f"this goes on with the restore of {self.backup.id} that was begun {self.record.age / 60:.0f} minutes ago and not finished; {way_back}")
        if resumed and safety:
            with self.held.kept():
                verified(self.store, params, safety)
        if self._needs_safety and (not resumed or self.record.age > RECENT):
            safety = self.take()
        self.record.start(self.backup.id, safety)
        told: Results = {"safety_backup": safety, "verified": False}
        progress = Progress(params["progress_path"], f"restore {self.backup.id}", self.warn)
        began = {name: self._sum(name) for name in ("evicted_keys", "expired_keys")}
        try:
            self.held.look()
            if params["flush"]:
                self._flush()
            conflict = "replace" if params["flush"] else params["on_conflict"]
            job = replaying.Job(conflict, tuple(params["patterns"]), resumed is not None and conflict == "fail", self._patience, SAMPLE)

            def step(sent: int, status: str) -> None:
                self.held.keep()
                progress.step(sent, self.seen.matching, status)

            done = replaying.replay(self.cluster, self.backup.sources, job, step)
        except CachingError as error:
            raise CachingError(error.message, changed=True, plan=self.plan, **told) from None
        finally:
            progress.close()
        speed = round(done.key_count / done.seconds) if done.seconds else 0
        restored = {"key_count": done.key_count, "bytes": done.bytes, "seconds": round(done.seconds, 3), "keys_per_second": speed}
        told |= {"restored": restored, "expired": done.expired, "skipped_count": done.skipped, "passes": done.passes, "functions": done.functions}
        self.record.finish({"backup": self.backup.id, "safety_backup": safety, **restored})
        try:
            with self.held.kept():
                problems = self._after(done, began)
        except CachingError as error:
            raise CachingError(f"the keys were written, but can't be looked at: {error.message}", changed=True, plan=self.plan, **told) from None
        if problems:
            raise CachingError(f"the keys were written, but {'; '.join(problems)}", changed=True, plan=self.plan, problems=problems, **told)
        return {**told, "verified": True, "changed": bool(done.key_count or done.functions or params["flush"])}

    @property
    def _needs_safety(self) -> bool:
        return bool(self.params["safety_backup"] and (self.before or self.libraries))

    @property
    def _patience(self) -> float:
        return float(self.params["wait_timeout"])

    def _flush(self) -> None:
        """Empty every primary, and pass that on to a replica: one that takes over later must not bring old keys back."""
        def emptied() -> tuple[bool, str]:
            self.held.keep()
            for address, (_share, view) in _primaries(self._looked()).items():
                try:
                    client = self._client(address)
                    client.execute_command("FLUSHALL", "SYNC")
                    client.execute_command("FUNCTION", "FLUSH", "SYNC")
                    if _topology.number(view.info, "connected_slaves"):
                        client.execute_command("WAIT", 1, 3000)
                except ERRORS as error:
                    return False, self.cluster.refusal_at(address, error).message
            problems = restore_checks.unfit(self._looked())[0]
            return not problems, "; ".join(problems)

        wait_for(emptied, self._patience, "an empty target")

    def _client(self, address: str) -> redis.Redis:
        host, _colon, port = address.rpartition(":")
        return self.cluster.client(host.strip("[]"), int(port))

    def _looked(self) -> list[View]:
        nodes = Nodes(self.cluster, 1, 1)
        nodes.look()
        return nodes.views

    def _sum(self, name: str) -> int:
        return sum(_topology.number(view.info, name) or 0 for view in self.views)

    def _after(self, done: replaying.Outcome, began: t.Mapping[str, int]) -> list[str]:
        """Slots, counts, evictions, and a sample of the keys."""
        notes: list[str] = []

        def settled() -> tuple[bool, str]:
            self.views = self._looked()
            problems, notes[:] = restore_checks.unfit(self.views)
            if self.scratch:
                notes.clear()
            return not problems, "; ".join(problems)

        try:
            wait_for(settled, self._patience, "a healthy cluster")
        except CachingError as error:
            return [error.message]
        problems: list[str] = []
        gone = self._sum("evicted_keys") - began["evicted_keys"]
        if gone > 0:
            problems.append(f"{gone} keys were evicted on the way")
        self.primaries = _primaries(self.views)
        over = self._sum("expired_keys") - began["expired_keys"]
        there = sum(self._size(address) for address in self.primaries)
        if self.scratch:
            self.views = self._looked()   # what expired while the keys were counted
            most = self._sum("expired_keys") - began["expired_keys"]
            if there + most < done.sent - done.passing or there + over > done.sent:
                problems.append(f"{there} keys are at the scratch server and {most} expired there, and {done.sent} were written")
        elif there < done.key_count * (1 - _TOLERATED):
            problems.append(f"{there} keys are at the target, less than the {done.key_count} that were written")
        skipped = self.params["on_conflict"] == "skip" and done.skipped
        found = done.sample.compare(self.cluster, Matcher(self.params["patterns"]).match)
        bad = found.missing + ([] if skipped else found.different)
        if bad and len(bad) > (0 if self.scratch else _TOLERATED) * found.looked_at:
            problems.append(f"{len(bad)} of {found.looked_at} keys that were looked at are not as in the backup ({', '.join(bad[:3])})")
        elif bad:
            notes.append(f"{len(bad)} of {found.looked_at} keys that were looked at have changed since ({', '.join(bad[:3])})")
        notes += [f"{address} has not passed everything on to a replica yet" for address in done.not_durable if not self.scratch]
        self._tell([note for note in notes if note not in self.notes])
        return problems


def _primaries(views: t.Sequence[View]) -> dict[str, tuple[float, View]]:
    """Primaries with slots by address: their share of all slots, and what they say."""
    found = {}
    for view in views:
        own = next((node for node in view.nodes if "myself" in node.flags), None)
        if own and own.is_primary and own.slots:
            found[view.address] = (sum(last - first + 1 for first, last in own.slots) / _topology.SLOTS, view)
    return found
