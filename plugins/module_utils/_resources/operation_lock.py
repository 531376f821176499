# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One operation at a time (H07): a lock in the store, made of records that are written once.

Taking, renewing, releasing and stealing an expired lock each write the next number, by put-if-absent, and look once more:
only who wrote the highest record has it. The number of the record by which a lock was taken is its fencing number.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
import typing as t

from .._duration import parse
from .._errors import CachingError, one_line
from .._lock import LONGEST, Record, dump, expendable, folder, holder, load, numbers, object_name, told
from .._store_port import Store
from .._wait import Deadline

Results = dict[str, t.Any]
_PAUSE = 1.0


class Lock:
    """The lock of one scope of one fleet."""

    def __init__(self, store: Store, name: str, scope: str) -> None:
        self.store = store
        self.what = f"the lock {name} ({scope})"
        self._place = folder(name, scope)
        self._since = 0.0
        self._old: list[int] = []

    def look(self) -> Record | None:
        """The highest record; None where there is none."""
        for _attempt in range(5):
            found = numbers(self._place, self.store.entries(self._place))
            if not found:
                return None
            highest = max(found)
            name = object_name(self._place, highest)
            content = self.store.get(name)
            if content is None:   # removed between the two looks, so there is a higher one
                continue
            record = load(content, highest, found[highest].age, name)
            self._since = found[record.token].age if record.token in found else record.age
            self._old = expendable(found, record.token)
            return record
        raise CachingError(f"{self.what} changes faster than it can be read")

    def holder(self, record: Record | None) -> Results | None:
        return holder(record, self._since, time.time())

    def take(self, owner: str, ttl: float, wait_timeout: float) -> Record:
        """Take it, or wait for it; whoever has it then is named."""
        deadline = Deadline(wait_timeout)
        while True:
            seen = self.look()
            if seen is None or not seen.held:
                number = seen.number + 1 if seen else 1
                mine = Record(number, "held", owner, ttl, number, secrets.token_hex(8))
                if self._write(mine):
                    self._since = 0.0
                    return mine
            elif deadline.over:
                found = t.cast("Results", self.holder(seen))
                raise CachingError(f"{told(self.what, found)}; nothing was done", holder=found)
            deadline.pause(_PAUSE)

    def renew(self, token: int, ttl: float) -> Record:
        """Hold it for ``ttl`` from now on; an error where somebody else has taken it."""
        seen = self.mine(token)
        mine = seen._replace(number=seen.number + 1, ttl=ttl, age=0.0)
        if not self._write(mine):
            raise self._lost(token, self.look())
        return mine

    def release(self, token: int) -> Record:
        seen = self.mine(token)
        mine = seen._replace(number=seen.number + 1, state="released", age=0.0)
        if not self._write(mine):
            raise self._lost(token, self.look())
        return mine

    def mine(self, token: int) -> Record:
        """The present record, where it is of the holding with this token; else the lock was lost, or given back."""
        seen = self.look()
        if seen is None or seen.state != "held" or seen.token != token:
            raise self._lost(token, seen)
        return seen

    def _write(self, mine: Record) -> bool:
        if not self.store.put_if_absent(object_name(self._place, mine.number), dump(mine)):
            return False
        seen = self.look()
        if seen is None or seen.number != mine.number or not seen.same(mine):
            # Written late: others have gone on, and the record that was in this place is gone. Ours decides nothing.
            self.store.delete(object_name(self._place, mine.number))
            return False
        for number in self._old:
            self.store.delete(object_name(self._place, number))
        return True

    def _lost(self, token: int, seen: Record | None) -> CachingError:
        if seen is not None and seen.state == "held" and seen.token != token:
            found = t.cast("Results", self.holder(seen))
            return CachingError(f"{self.what} with token {token} was lost: {told('it', found)} (token {seen.token})", holder=found, lost=True)
        return CachingError(f"{self.what} is not held with token {token}", holder=None, lost=True)


def _clock() -> float:
    """Seconds that also go on while the machine is suspended, where the system has such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Held:
    """The lock that the operation around a module holds, while the module works; without one, nothing is looked at.

    ``look`` is for just before what can't be taken back, ``keep`` for again and again in between: it renews in time, and a
    store that does not answer then stops nothing as long as the lock is certain to be ours.
    """

    def __init__(self, store: Store, given: t.Mapping[str, t.Any] | None) -> None:
        self._lock = Lock(store, given["name"], given["scope"]) if given and given["token"] else None
        self._token = int(given["token"]) if given and given["token"] else 0
        self._ttl = float(parse(given["ttl"], "lock.ttl")) if given else 0.0
        self._next = self._until = 0.0   # when to renew it; until when it is certain to be ours

    def look(self) -> None:
        """Ours, for two thirds of its time at least; or an error that says who has it."""
        if self._lock is None:
            return
        now = _clock()
        if now < self._next:
            self._lock.mine(self._token)
            return
        self._lock.renew(self._token, self._ttl)
        self._next, self._until = now + self._ttl / 3, now + self._ttl

    def keep(self) -> None:
        now = _clock()
        if self._lock is None or now < self._next:
            return
        try:
            self.look()
        except CachingError as error:
            if error.results.get("lost") or now > self._until - self._ttl / 3:
                raise
            self._next = now + self._ttl / 10

    @contextlib.contextmanager
    def kept(self) -> t.Iterator[t.Callable[[], None]]:
        """Renewed by a thread while the ``with`` lasts, however long a step in it takes.

        What it gives is called again and again inside, from any thread: it raises once the lock is lost. So does the end.
        """
        self.keep()
        ended, failed = threading.Event(), list[CachingError]()

        def still() -> None:
            if failed:
                raise CachingError(failed[0].message, **failed[0].results)

        def renew() -> None:
            while not ended.wait(self._ttl / 20):
                try:
                    self.keep()
                except CachingError as error:
                    lost = error.results.get("lost")
                    told = error.message if lost else f"the lock could not be renewed in time: {error.message}"
                    failed.append(CachingError(told, **{**error.results, "lost": True}))
                    return

        thread = threading.Thread(target=renew, daemon=True)
        if self._lock is not None:
            thread.start()
        try:
            yield still
        finally:
            ended.set()
            if self._lock is not None:
                thread.join()
        still()


class Job:
    """What one task wants of a lock."""

    def __init__(self, store: Store, params: t.Mapping[str, t.Any]) -> None:
        self.lock = Lock(store, params["name"], params["scope"])
        self.owner = one_line(params["owner"], 200)
        self.ttl = float(parse(params["ttl"], "ttl"))
        if not 10 <= self.ttl <= LONGEST:
            raise CachingError(f"ttl: it must be between 10 seconds and {LONGEST // 86400} days")
        self.wait_timeout = float(parse(params["wait_timeout"], "wait_timeout"))
        self.token: int | None = params["token"] or None   # zero is what check mode returned
        self.state: str = params["state"]

    def plan(self) -> tuple[bool, Results]:
        """What is there now; with a token, a lock that is lost is an error already here."""
        nothing = self.state != "held" and self.token is None
        seen = self.lock.look() if self.token is None else self.lock.mine(self.token)
        found = self.lock.holder(seen)
        before = f"held by {found['owner']}" if found else "released"
        after = before if nothing else "released" if self.state == "released" else f"held by {self.owner}"
        diff = {"before": {"lock": before}, "after": {"lock": after}}
        return not nothing, {"diff": diff, "holder": found, "token": self.token or 0, "acquired": False, "ttl": self.ttl}

    def act(self) -> Results:
        if self.token is None:
            record = self.lock.take(self.owner, self.ttl, self.wait_timeout)
        elif self.state == "released":
            self.lock.release(self.token)
            return {"holder": None, "token": 0}
        else:
            record = self.lock.renew(self.token, self.ttl)
        return {"holder": self.lock.holder(record), "token": record.token, "acquired": self.token is None}
