# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Entries of a region (S032 to S036): read many at once, compared by digest and time left, never shown by value."""

from __future__ import annotations

import hashlib
import json
import re
import time
import typing as t
from decimal import Decimal

from .._duration import parse, to_iso
from .._errors import ApiError, CachingError, one_line
from .._fields import canonical
from .._reconcile import Change, Object
from .._service import Service
from .regions import Regions

CHUNK = 200
FIELDS = {"value": "text", "ttl": "text", "tags": "set"}
UNDECLARED = "not declared"
_LEAST_TOLERANCE = Decimal(5)
_NO_SUCH_CALL = (404, 405, 501)
_LISTS = ("entries", "values", "results", "found", "items", "data")
_META = {"key", "value", "ttl", "tags", "region", "storedBytes", "size", "ttlSeconds", "remainingTtl", "timeToLive", "expiresIn",
         "createdAt", "updatedAt", "expiresAt", "version", "metadata", "compressed", "encrypted", "lastAccessed", "hits"}
_TTLS = ("ttl", "remainingTtl", "timeToLive", "ttlSeconds", "expiresIn")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%")


def check_key(key: str, option: str) -> str:
    """A key as a user gave it; it must be able to stand in a URL."""
    try:
        key.encode("utf-8")
    except UnicodeEncodeError:
        raise CachingError(f"{option}: {one_line(ascii(key), 60)} is not valid UTF-8") from None
    if not key.strip() or key in (".", "..") or any(ord(character) < 32 for character in key) or len(key) > 2048:
        raise CachingError(f"{option}: {one_line(repr(key), 60)} can't be the key of an entry")
    return key


def fingerprint(value: t.Any) -> tuple[str, int]:
    """The digest of a value (SHA-256 of its canonical JSON), and the size of that JSON in bytes."""
    try:
        text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise CachingError("a value must be something that JSON can hold (no NaN, no dates as objects, valid UTF-8)") from None
    return hashlib.sha256(text).hexdigest(), len(text)


def _plain(value: t.Any) -> t.Any:
    """1.0 and 1 are one number in JSON, whatever wrote it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def shown(value: t.Any) -> str:
    """How a value appears in a diff."""
    digest, size = fingerprint(value)
    return f"{size} bytes, sha256 {digest}"


def tolerance(text: str) -> t.Callable[[Decimal], Decimal]:
    """The option ``ttl_tolerance``: how many seconds the time left of an entry with a given lifetime may be away from it."""
    share = _PERCENT.fullmatch(str(text).strip())
    if share is None:
        seconds = parse(text, "ttl_tolerance")
        return lambda ttl: max(seconds, _LEAST_TOLERANCE)
    if Decimal(share.group(1)) > 100:
        raise CachingError(f"ttl_tolerance: {text} is more than 100 %")
    return lambda ttl: max(ttl * Decimal(share.group(1)) / 100, _LEAST_TOLERANCE)


def judge(ttl: Decimal, left: Decimal, allowed: Decimal) -> str:
    """The time left in the words of a declared lifetime: the same text where it is near enough, else a bound that it is past."""
    if abs(left - ttl) <= allowed:
        return to_iso(ttl)
    return f"less than {to_iso(max(ttl - allowed, Decimal(0)))}" if left < ttl else f"more than {to_iso(ttl + allowed)}"


class Wish(t.NamedTuple):
    """An entry as declared. ``ttl`` in seconds; None where none was declared."""

    key: str
    value: t.Any
    ttl: Decimal | None
    tags: list[str] | None


def declared(entries: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[dict[str, Wish], list[str]]:
    """The option ``entries``: wishes by key, and the keys that must be absent."""
    present: dict[str, Wish] = {}
    absent: dict[str, None] = {}
    for number, given in enumerate(entries):
        key = check_key(given["key"], f"entries[{number}].key")
        if key in present or key in absent:
            raise CachingError(f"entries: {one_line(key, 80)} is declared twice")
        if given.get("state") == "absent":
            absent[key] = None
            continue
        where = f"entries[{number}] ({one_line(key, 80)})"
        if given.get("value") is None:
            raise CachingError(f"{where}: give its value (state: absent removes it)")
        ttl = None if given.get("ttl") is None else parse(given["ttl"], f"{where}: ttl")
        if ttl is not None and ttl <= 0:
            raise CachingError(f"{where}: a ttl of nothing would be gone at once; state: absent removes it")
        if any(not tag for tag in given.get("tags") or []):
            raise CachingError(f"{where}: an empty tag can't be meant")
        try:
            fingerprint(given["value"])
        except CachingError as error:
            raise CachingError(f"{where}: {error.message}") from None
        present[key] = Wish(key, given["value"], ttl, given.get("tags"))
    return present, list(absent)


def parse_entry(data: t.Any) -> dict[str, t.Any]:
    """An entry as a service gives it, with what it tells beside the value, or the bare value."""
    if not (isinstance(data, dict) and "value" in data and data.keys() <= _META):
        return {"value": data, "left": None, "tags": None}
    left = next((data[name] for name in _TTLS if data.get(name) is not None), None)
    try:
        seconds = None if left is None or isinstance(left, str) and left.startswith("-") else parse(canonical("duration", left))
    except CachingError:
        seconds = None
    return {"value": data["value"], "left": seconds, "tags": data["tags"] if isinstance(data.get("tags"), list) else None}


def parse_many(data: t.Any, asked: t.Collection[str]) -> dict[str, dict[str, t.Any]]:
    """The entries of an answer for many keys: a list of them, or a map by key, perhaps wrapped."""
    found = data
    if isinstance(data, dict) and not (data.keys() and data.keys() <= set(asked)):
        found = next((data[name] for name in _LISTS if isinstance(data.get(name), (list, dict))), {})
    if isinstance(found, dict):
        return {key: parse_entry(value) for key, value in found.items() if key in asked and value is not None}
    if isinstance(found, list) and all(isinstance(entry, dict) and isinstance(entry.get("key"), str) for entry in found):
        return {entry["key"]: parse_entry(entry) for entry in found if entry["key"] in asked and entry.get("value") is not None}
    raise CachingError("the answer for many keys holds no entries with their keys")


class Reader:
    """Reads entries of one region, many at once, or one by one where the service can't give many."""

    def __init__(self, service: Service, region: str) -> None:
        self.service = service
        self.region = region
        self._many = True

    def many(self, keys: t.Sequence[str]) -> dict[str, dict[str, t.Any]]:
        found: dict[str, dict[str, t.Any]] = {}
        if self._many and keys:
            first = self._chunk(keys[:CHUNK])
            chunks = [keys[start : start + CHUNK] for start in range(CHUNK, len(keys), CHUNK)]
            if first is not None:
                for part in [first, *self.service.each(self._kept, chunks)]:
                    if isinstance(part, CachingError):
                        raise part
                    found.update(part)
                return found
            self._many = False
        for key, entry in zip(keys, self.service.each(self._one_kept, list(keys))):
            if isinstance(entry, CachingError):
                raise entry
            if entry is not None:
                found[key] = entry
        return found

    def _chunk(self, keys: t.Sequence[str]) -> dict[str, dict[str, t.Any]] | None:
        """The entries of these keys; None where there is no such call."""
        answer = self.service.call("get_many", {"keys": list(keys)}, region=self.region, expect=_NO_SUCH_CALL)
        if answer.ok:
            return parse_many(answer.json(), set(keys))
        if answer.status == 404:
            self.check_region()
        return None

    def _kept(self, keys: t.Sequence[str]) -> dict[str, dict[str, t.Any]] | CachingError:
        try:
            return self._chunk(keys) or {}
        except CachingError as error:
            return error

    def _one_kept(self, key: str) -> dict[str, t.Any] | CachingError | None:
        try:
            return self.one(key)
        except CachingError as error:
            return error

    def one(self, key: str) -> dict[str, t.Any] | None:
        answer = self.service.call("get_entry", region=self.region, key=key, expect=(404,))
        return parse_entry(answer.json()) if answer.ok and answer.body.strip() else None

    def exists(self, key: str) -> bool:
        """By HEAD; where the service has none, by reading it."""
        try:
            return self.service.call("key_exists", region=self.region, key=key, expect=(404,)).ok
        except ApiError as error:
            if error.status not in (405, 501):
                raise
        return self.one(key) is not None

    def check_region(self) -> None:
        """A region that isn't there is told as that, not as entries that are missing."""
        regions = Regions(self.service).read()
        if self.region not in regions:
            known = ", ".join(sorted(regions)[:10]) or "none"
            raise CachingError(f"region: there is no region {one_line(repr(self.region), 60)}; the service has {known}; nothing was changed")


class Entries:
    """Declared entries of a region, for the reconciler."""

    kind = "key"
    fields: t.Mapping[str, str] = FIELDS

    def __init__(self, service: Service, region: str, present: dict[str, Wish], absent: list[str], ttl_tolerance: str) -> None:
        self.service = service
        self.concurrency = service.concurrency
        self.present = present
        self.names = [*present, *absent]
        self._reader = Reader(service, region)
        self._allowed = tolerance(ttl_tolerance)
        self._written: dict[str, float] = {}

    def wanted(self) -> dict[str, Object]:
        result: dict[str, Object] = {}
        for key, wish in self.present.items():
            told: Object = {"value": shown(wish.value), "ttl": None if wish.ttl is None else to_iso(wish.ttl), "tags": wish.tags}
            result[key] = {field: value for field, value in told.items() if value is not None}
        return result

    def read(self) -> dict[str, Object]:
        now = time.monotonic()
        return {key: self._object(key, entry, now) for key, entry in self._reader.many(self.names).items()}

    def _object(self, key: str, entry: dict[str, t.Any], now: float) -> Object:
        digest, size = fingerprint(entry["value"])
        wish, left = self.present.get(key), entry["left"]
        ttl = None if left is None else UNDECLARED
        if left is not None and wish and wish.ttl is not None:
            since = Decimal(str(round(now - self._written.get(key, now), 3)))   # what was written by this run has aged since
            ttl = judge(wish.ttl, left + max(since, Decimal(0)), self._allowed(wish.ttl))
        return {"value": f"{size} bytes, sha256 {digest}", "ttl": ttl, "tags": entry["tags"], "_digest": digest, "_size": size, "_left": left}

    def guard(self, changes: list[Change]) -> None:
        if changes:
            self._reader.check_region()

    def write(self, change: Change) -> bool:
        region, key = self._reader.region, change.name
        if change.action == "delete":
            return self.service.call("delete_entry", region=region, key=key, expect=(404,)).status == 202
        wish = self.present[change.name]
        body: dict[str, t.Any] = {"value": wish.value}
        if wish.ttl is not None:
            body["ttl"] = to_iso(wish.ttl)
        tags = wish.tags if wish.tags is not None else change.have.get("tags")
        if tags:
            body["tags"] = tags
        answer = self.service.call("set_entry", body, region=region, key=key)
        self._written[change.name] = time.monotonic()
        return answer.status == 202

    def results(self, objects: dict[str, Object]) -> list[dict[str, t.Any]]:
        """The declared entries as they are now: digest, size and time left, never the value."""
        result = []
        for key in self.names:
            entry, wish = objects.get(key), self.present.get(key)
            digest, size = (entry.get("_digest"), entry.get("_size")) if entry else (None, None)
            if entry and wish and entry["value"] == shown(wish.value):
                digest, size = fingerprint(wish.value)
            left = entry.get("_left") if entry else None
            told = None if left is None else to_iso(Decimal(int(left)))
            result.append({"key": key, "state": "present" if entry else "absent", "digest": digest, "size": size, "ttl_left": told})
        return result
