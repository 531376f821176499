# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Cache regions (S022, S027 to S031): how they are read and written, and what must not happen to them."""

from __future__ import annotations

import contextlib
import re
import threading
import typing as t
import unicodedata

from .._duration import normal
from .._errors import ApiError, CachingError, one_line
from .._fields import canonical
from .._http import Answer
from .._reconcile import Change, Object
from .._service import Service

# option: (name on the wire, kind)
FIELDS = {
    "default_ttl": ("defaultTtl", "duration"),
    "max_size": ("maxSize", "integer"),
    "eviction_policy": ("evictionPolicy", "enum"),
    "enable_compression": ("enableCompression", "boolean"),
    "enable_encryption": ("enableEncryption", "boolean"),
}
_OPTIONS = {wire: option for option, (wire, kind) in FIELDS.items()}
_NAMES = ("name", "region", "regionName", "cacheName", "id")
_SIZES = ("size", "entryCount", "entries", "currentSize", "keyCount", "estimatedSize")
# Fields that tell what is measured, not what was set, by the words of their names (hitCount, last_accessed, createdAt …).
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_WHOLE = frozenset(
    "link links stats statistics metrics status version etag id health node nodes owner size entries memory puts gets removals requests loads lookups".split()
)
_SETS = frozenset("max maximum min minimum limit threshold target default initial timeout interval ttl backup backups replica replicas shard shards".split())
_FIRST = frozenset("created modified updated last used avg average mean current estimated total num number uptime".split())
_LAST = frozenset("at usage used hits misses evictions timestamp modified accessed latency ago".split())
_AMOUNTS = frozenset("count rate ratio percent percentage bytes millis ms".split())
_OF = frozenset(
    "entry entries key keys hit hits miss misses eviction evictions evicted expired request requests access get gets put puts load loads item items "
    "object objects element elements error errors read reads write writes lookup lookups size memory heap storage disk fill response".split()
)
_IMMUTABLE = re.compile(
    r"immutable|read.?only|(can ?not|can't|must not|may not|not)\s+(be\s+)?(chang|modif|updat|alter)|not (changeable|modifiable|updatable)", re.IGNORECASE
)
_NO_SUCH_CALL = (404, 405, 501)


def check_name(name: str, option: str) -> str:
    """A region's name as a user gave it; it must be able to stand in a URL."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise CachingError(f"{option}: {one_line(ascii(name), 60)} is not valid UTF-8") from None
    if not name.strip() or name in (".", "..") or any(unicodedata.category(character) == "Cc" for character in name) or len(name) > 512:
        raise CachingError(f"{option}: {one_line(repr(name), 60)} can't be the name of a region")
    return name


def declared(regions: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[dict[str, Object], list[str], set[str]]:
    """The option ``regions`` as objects by name, names that must be absent, and the protected names."""
    present: dict[str, Object] = {}
    absent: list[str] = []
    protected: set[str] = set()
    for given in regions:
        name = check_name(given["name"], "regions")
        if name in present or name in absent:
            raise CachingError(f"regions: {name} is declared twice")
        if given.get("protected"):
            protected.add(name)
        if given.get("state") == "absent":
            absent.append(name)
        else:
            present[name] = _desired(name, given)
    return present, absent, protected


def _desired(name: str, given: t.Mapping[str, t.Any]) -> Object:
    want: Object = {option: given[option] for option in FIELDS if given.get(option) is not None}
    if "default_ttl" in want:
        want["default_ttl"] = normal(want["default_ttl"], f"regions: default_ttl of {name}")
    if want.get("max_size", 0) < 0:
        raise CachingError(f"regions: max_size of {name} can't be negative ({want['max_size']})")
    for field, value in (given.get("extra") or {}).items():
        if field in _OPTIONS or field in _NAMES:
            raise CachingError(f"regions: extra.{field} of {name}: use the option {_OPTIONS.get(field, 'name')}")
        want[f"extra.{field}"] = value
    return {field: canonical(KINDS.get(field, "any"), value) for field, value in want.items()}


KINDS = {option: kind for option, (wire, kind) in FIELDS.items()}


class Regions:
    """The regions of a service, for the reconciler."""

    kind = "region"

    def __init__(
        self, service: Service, *, protected: t.Collection[str] = (), purge_limit: int = 5, delete_limit: int = 0, recreate: bool = False,
        declared: t.Mapping[str, Object] | None = None, declared_names: t.Collection[str] = (),
    ) -> None:
        self.service = service
        self.concurrency = service.concurrency
        self.fields: dict[str, str] = {**KINDS, **{field: "any" for want in (declared or {}).values() for field in want if field.startswith("extra.")}}
        self.protected = protected
        self.purge_limit = purge_limit
        self.delete_limit = delete_limit
        self.recreate = recreate
        self.declared_names = declared_names
        self._patches: bool | None = None
        self._probe = threading.Lock()

    def read(self) -> dict[str, Object]:
        found = {}
        declared = {field.removeprefix("extra.") for field in self.fields if field.startswith("extra.")}
        for answer in self.service.listing("list_regions", "regions"):
            name = next((answer[key] for key in _NAMES if isinstance(answer.get(key), str)), None)
            if name is None:
                raise CachingError(f"the list of regions holds one without a name: {one_line(answer, 120)}")
            found[name] = _parsed(answer, declared)
            self.fields.update({field: "any" for field in found[name] if field.startswith("extra.")})
        return found

    def guard(self, changes: list[Change]) -> None:
        """Refuse before anything is changed (H14, F13)."""
        for change in changes:
            if change.name in self.protected:
                self._guard_protected(change)
        deletes = [change for change in changes if change.action == "delete"]
        purged = [change.name for change in deletes if change.name not in self.declared_names]
        if len(purged) > self.purge_limit:
            raise CachingError(
                f"purge would delete {len(purged)} regions that are not declared ({', '.join(purged[:8])}{', …' * (len(purged) > 8)}), "
                f"more than purge_limit {self.purge_limit}; nothing was changed"
            )
        if self.delete_limit >= 0:
            for change, size in zip(deletes, self.service.each(lambda change: self.size(change.name, change.have), deletes)):
                self._guard_size(change.name, size, "deleting", "; nothing was changed")

    def _guard_protected(self, change: Change) -> None:
        if change.action == "delete":
            raise CachingError(f"region {change.name} is protected: it is never deleted; nothing was changed")
        have, want = change.have.get("max_size"), change.want.get("max_size")
        if isinstance(have, int) and isinstance(want, int) and want < have:
            raise CachingError(f"region {change.name} is protected: max_size would shrink from {have} to {want}; nothing was changed")

    def _guard_size(self, name: str, size: int | None, doing: str, rest: str = "") -> None:
        if size is None:
            raise CachingError(
                f"{doing} region {name}: the service does not tell how many entries it holds, so delete_limit {self.delete_limit} "
                f"can't be kept (-1 sets no limit){rest}"
            )
        if size > self.delete_limit:
            raise CachingError(f"{doing} region {name} would lose {size} entries, more than delete_limit {self.delete_limit}{rest}")

    def size(self, name: str, have: t.Mapping[str, t.Any]) -> int | None:
        """How many entries a region holds: from the list, else from its statistics, else None."""
        if isinstance(have.get("_size"), int):
            return int(have["_size"])
        try:
            return size_of(self.service.call("region_stats", region=name).json())
        except ApiError as error:
            if error.status in _NO_SUCH_CALL:
                return None
            raise

    def write(self, change: Change) -> bool:
        if change.action == "create":
            return self._create(change.name, change.want)
        if change.action == "delete":
            return self.service.call("delete_region", region=change.name, expect=(404,)).status == 202
        try:
            return self._update(change)
        except ApiError as error:
            if error.status not in (400, 409, 422) or not _IMMUTABLE.search(error.detail):
                raise
            if not self.recreate:
                raise CachingError(
                    f"{', '.join(change.fields)} can't change in place: {error.detail}. on_immutable: recreate deletes and creates the region"
                ) from None
        return self._recreate(change)

    def _create(self, name: str, want: Object) -> bool:
        return self.service.call("create_region", {"name": name, **_wire(want)}).status == 202

    def _update(self, change: Change) -> bool:
        """PATCH what differs; PUT only a whole object, as a PUT may reset what it is not told (H14)."""
        kept = _settings(change.have)
        if not kept.keys() <= change.want.keys():
            with self._probe if self._patches is None else contextlib.nullcontext():
                answer = self._patch(change) if self._patches is not False else None
            if answer is not None:
                return answer.status == 202
        whole = _wire({**kept, **change.want})
        answer = self.service.call("update_region", whole, region=change.name, expect=(405, 501))
        if not answer.ok:   # the guide knows a third way, and where that is missing too its answer is the reason
            answer = self.service.call("reduce_region", whole, region=change.name)
        return answer.status == 202

    def _patch(self, change: Change) -> Answer | None:
        """None where the service has no PATCH (or not for this token), which the first one to try finds out for all."""
        part = _wire({field: change.want[field] for field in change.fields})
        answer = self.service.call("update_region_admin", part, region=change.name, expect=(*_NO_SUCH_CALL, 403), repeatable=True)
        self._patches = answer.ok
        return answer if answer.ok else None

    def _recreate(self, change: Change) -> bool:
        if change.name in self.protected:
            raise CachingError(f"region {change.name} is protected: it is never deleted, so it can't be recreated")
        if self.delete_limit >= 0:
            self._guard_size(change.name, self.size(change.name, change.have), "recreating")
        old = _settings(change.have)
        plain = {field: value for field, value in old.items() if field in FIELDS}
        self.service.call("delete_region", region=change.name, expect=(404,))
        errors = []
        # What was read may hold fields that a create refuses; the settings of the guide alone are the next best, then the old ones.
        for want, told in (({**old, **change.want}, ""), ({**plain, **change.want}, ""), (old, "old"), (plain, "old")):
            try:
                later = self._create(change.name, want)
            except CachingError as error:
                errors.append(error.message)
                continue
            if told:
                raise CachingError(f"recreating failed: {errors[0]}; it was created again with its old settings")
            return later
        raise CachingError(f"recreating failed: {errors[0]}; it could not be created again with its old settings either: it is gone")


def is_measured(field: str) -> bool:
    """Whether a field that nobody declares is a measurement, by its name: it is neither kept nor compared."""
    words = [word.lower() for word in _WORD.findall(field)]
    if not words or _SETS.intersection(words):
        return False
    by_amount = words[-1] in _AMOUNTS and (len(words) == 1 or bool(_OF.intersection(words)))
    return " ".join(words) in _WHOLE or words[0] in _FIRST or words[-1] in _LAST or by_amount


def _parsed(answer: t.Mapping[str, t.Any], declared: t.Container[str] = ()) -> Object:
    """An object of the service in the options' words; ``_size`` and ``_memory`` are measured, not declared."""
    entry: Object = {option: canonical(kind, answer.get(wire)) for option, (wire, kind) in FIELDS.items()}
    entry.update({
        f"extra.{field}": value for field, value in answer.items()
        if field in declared or field not in _OPTIONS and field not in _NAMES and field != "memoryUsage" and not is_measured(field)
    })
    return {**entry, "_size": size_of(answer), "_memory": answer.get("memoryUsage")}


def size_of(answer: t.Any) -> int | None:
    """The number of entries in a region's object or statistics, or None where it isn't told."""
    if not isinstance(answer, dict):
        return None
    told = (canonical("integer", answer.get(key)) for key in _SIZES)
    found = next((size for size in told if isinstance(size, int) and not isinstance(size, bool)), None)
    if found is None and isinstance(answer.get("stats"), dict):
        return size_of(answer["stats"])
    return None if found is None or found < 0 else int(found)


def _settings(have: t.Mapping[str, t.Any]) -> Object:
    """What was read of a region, without what is measured and what is not set."""
    return {field: value for field, value in have.items() if not field.startswith("_") and value is not None}


def _wire(want: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {FIELDS[field][0] if field in FIELDS else field.removeprefix("extra."): value for field, value in want.items()}


def shown(name: str, entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A region as modules return it."""
    result: dict[str, t.Any] = {"name": name, **{option: entry.get(option) for option in FIELDS}}
    extra = {field.removeprefix("extra."): value for field, value in entry.items() if field.startswith("extra.")}
    return {**result, "extra": extra, "size": entry.get("_size"), "memory_usage": entry.get("_memory")}
