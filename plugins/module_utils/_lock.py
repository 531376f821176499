# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What the records of a lock mean: who holds it, until when, and which record comes next. Pure functions on data.

A lock is the series ``locks/<name>/<scope>/<n>``: each record is made once and never changed, and the highest one decides.
"""

from __future__ import annotations

import datetime
import json
import re
import typing as t

from ._errors import CachingError, one_line
from ._store_port import Entry

SCOPES = ("content", "topology")
STATES = ("held", "released")
MARGIN = 2.0   # seconds: the clock of a store is told in whole ones, twice
KEPT = 20      # records before those of the present holder
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DIGITS = 10
LONGEST = 30 * 86400


class Record(t.NamedTuple):
    """A record, and how old it is by the store's clock. ``token``: the number of the record by which its holder took the lock."""

    number: int
    state: str
    owner: str
    ttl: float
    token: int
    nonce: str
    age: float = 0.0

    @property
    def held(self) -> bool:
        """Nobody else may take it."""
        return self.state == "held" and self.age <= self.ttl + MARGIN

    def same(self, other: Record) -> bool:
        """Of the same holding: the number alone could be a guess."""
        return (self.token, self.nonce) == (other.token, other.nonce)


def folder(name: str, scope: str) -> str:
    if not _NAME.fullmatch(name):
        raise CachingError(f"name: {one_line(repr(name), 80)} must be letters, digits, dots, dashes and underscores (at most 64)")
    return f"locks/{name}/{scope}"


def object_name(place: str, number: int) -> str:
    return f"{place}/{number:0{_DIGITS}}"


def numbers(place: str, entries: t.Iterable[Entry]) -> dict[int, Entry]:
    """The records of a series by their numbers; what is no record is an error, as it could hide the highest."""
    found = {}
    for entry in entries:
        text = entry.name.removeprefix(f"{place}/")
        if not (text.isascii() and text.isdigit() and len(text) == _DIGITS):
            raise CachingError(f"{entry.name} in the store is no record of a lock; remove it")
        found[int(text)] = entry
    return found


def dump(record: Record) -> bytes:
    """As it is stored; its number and age are those of the object."""
    content = {"state": record.state, "owner": record.owner, "ttl": record.ttl, "token": record.token, "nonce": record.nonce}
    return json.dumps(content, sort_keys=True).encode()


def load(content: bytes, number: int, age: float, name: str) -> Record:
    try:
        found = json.loads(content)
        record = Record(number, found["state"], found["owner"], found["ttl"], found["token"], found["nonce"], age)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _damaged(name) from None
    texts = isinstance(record.owner, str) and isinstance(record.nonce, str) and record.state in STATES
    whole = isinstance(record.token, int) and not isinstance(record.token, bool) and 0 < record.token <= number
    figures = whole and isinstance(record.ttl, (int, float)) and not isinstance(record.ttl, bool) and 0 <= record.ttl <= LONGEST
    if not texts or not figures:
        raise _damaged(name)
    return record


def _damaged(name: str) -> CachingError:
    return CachingError(f"the record {name} of the lock is damaged; remove it when nobody works on the fleet")


def expendable(found: t.Iterable[int], token: int) -> list[int]:
    """Records that nobody needs any more. Who would write one of them anew sees, looking once more, that it is not the highest."""
    return sorted(number for number in found if number < token - KEPT)


def holder(record: Record | None, since: float, now: float) -> dict[str, t.Any] | None:
    """The holder as people and playbooks read it. ``since``: seconds ago; ``now``: this host's clock."""
    if record is None or record.state != "held":
        return None
    return {
        "owner": record.owner, "token": record.token, "since": _iso(now - since), "until": _iso(now - record.age + record.ttl),
        "expired": not record.held,
    }


def told(what: str, found: t.Mapping[str, t.Any]) -> str:
    return f"{what} is held by {one_line(found['owner'], 120)} since {found['since']}, until {found['until']} if it is not renewed"


def _iso(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
