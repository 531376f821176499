# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The manifest of a backup: what it says, how it is signed, and where its objects are. Pure functions on data.

    backups/<cluster>/<id>/shard-00000-05461.rdb.zst[.age]   the data of a shard
    backups/<cluster>/<id>/nodes.json.zst[.age]              settings and ACL lists of the nodes
    backups/<cluster>/<id>/manifest.json                     written last: without it there is no backup
    backups/<cluster>/<id>/verified.json                     that it was read back and found whole, bound to that manifest
    backups/<cluster>/holds/<id>                             never pruned while it is there
    backups/<cluster>/running/<id>                           the sign of life of a run
    backups/<cluster>/marks/<node>                           a setting of a node that a run has to put back

A document is ``{"content": …, "mac": …}``; the MAC is HMAC-SHA256 over the canonical JSON of what kind of document it is and
its content, so neither can take the place of another. Times are milliseconds since 1970 (UTC).
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import re
import typing as t

from ._errors import CachingError, one_line
from ._topology import SLOTS

FORMAT = 1
KINDS = ("regular", "safety", "drill")
MANIFEST, VERIFIED = "manifest.json", "verified.json"
_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ID = re.compile(r"([0-9]{8}T[0-9]{6}Z)-[0-9a-f]{8}")
_OBJECT = re.compile(r"(shard-[0-9]{5}-[0-9]{5}(\.[0-9]+)?\.rdb|nodes\.json)\.zst(\.age)?")
_HEX = re.compile(r"[0-9a-f]{64}")
_STAMP = "%Y%m%dT%H%M%SZ"
_LARGEST = 16 << 20

Content = dict[str, t.Any]

# what every shard of a manifest says, and of which type it is
_SHARD: dict[str, tuple[type, ...]] = {
    "slots": (list,), "node": (dict,), "epoch": (int,), "server": (dict,), "replication_id": (str,), "offset": (int,),
    "lag_bytes": (int, type(None)), "began": (int,), "ended": (int,), "key_count": (int,), "expiring": (int,), "rdb_version": (int,),
    "bytes": (int,), "crc64": (str,), "trailer": (str,), "object": (str,), "stored_bytes": (int,), "sha256": (str,),
}
_MANIFEST: dict[str, tuple[type, ...]] = {
    "format": (int,), "kind": (str,), "cluster": (str,), "id": (str,), "started": (int,), "finished": (int,), "skew_ms": (int,), "paused_ms": (int,),
    "shards": (list,), "records": (list,), "topology": (list,), "compression": (str,), "encryption": (str, type(None)), "job_id": (str, type(None)),
}
_RECORD: dict[str, tuple[type, ...]] = {"object": (str,), "stored_bytes": (int,), "sha256": (str,), "secrets": (str,)}


class ManifestError(CachingError):
    """What is wrong with a manifest, or with a record beside it."""


# ---- names


def cluster_name(text: str) -> str:
    if not _CLUSTER.fullmatch(text) or text in (".", ".."):
        raise CachingError(f"cluster: {one_line(repr(text), 60)} must be letters, digits, dots, dashes and underscores (at most 64)")
    return text


def new_id(now: float, random: str) -> str:
    """An id that sorts by time; ``random`` are 8 hexadecimal digits."""
    return f"{datetime.datetime.fromtimestamp(now, datetime.timezone.utc).strftime(_STAMP)}-{random}"


def is_id(text: str) -> bool:
    return bool(_ID.fullmatch(text)) and time_of(text) is not None


def time_of(identifier: str) -> int | None:
    """The time in an id, in milliseconds; None where it is none."""
    found = _ID.fullmatch(identifier)
    try:
        moment = datetime.datetime.strptime(found.group(1), _STAMP) if found else None
    except ValueError:
        return None
    return None if moment is None else int(moment.replace(tzinfo=datetime.timezone.utc).timestamp()) * 1000


def iso(milliseconds: int) -> str:
    moment = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def folder(cluster: str, identifier: str = "") -> str:
    return f"backups/{cluster}/{identifier}".rstrip("/")


def shard_object(slots: t.Sequence[t.Sequence[int]], attempt: int, encrypted: bool) -> str:
    """The name of a shard's object in its set: by its first and last slot, and the attempt where it is not the first."""
    again = f".{attempt}" if attempt > 1 else ""
    return f"shard-{slots[0][0]:05}-{slots[-1][1]:05}{again}.rdb.zst{'.age' if encrypted else ''}"


def nodes_object(encrypted: bool) -> str:
    return f"nodes.json.zst{'.age' if encrypted else ''}"


def ranges(slots: t.Iterable[t.Sequence[int]]) -> str:
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in slots)


def objects(manifest: Content) -> list[Content]:
    """Every object that a set has besides its manifest: ``object``, ``stored_bytes``, ``sha256``."""
    return [*manifest["shards"], *manifest["records"]]


# ---- signing


def canonical(data: t.Any) -> bytes:
    """The one form in which data is signed and stored: no two writers differ in it."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def key_id(key: str) -> str:
    """Tells one key from another, and nothing else of it."""
    return hmac.new(key.encode(), b"exalt.caching key id", hashlib.sha256).hexdigest()[:12]


def _mac(what: str, content: t.Any, key: str) -> str:
    return hmac.new(key.encode(), canonical({"what": what, "content": content}), hashlib.sha256).hexdigest()


def signed(what: str, content: Content, key: str | None) -> bytes:
    """A document as it is stored; without a key it is not signed."""
    mac = {"algorithm": "hmac-sha256", "key_id": key_id(key), "value": _mac(what, content, key)} if key else None
    return canonical({"content": content, "mac": mac}) + b"\n"


def opened(what: str, document: bytes, key: str | None, previous: t.Sequence[str] = ()) -> tuple[Content, str]:
    """Content of a document, and its signature: ``good``, ``unchecked`` (no key here) or ``none`` (no key here and there).

    It may be signed with ``key`` or with a ``previous`` one.
    """
    keys = {key_id(one): one for one in (key, *previous) if one}
    if len(document) > _LARGEST:
        raise ManifestError(f"{what}: it is larger than {_LARGEST >> 20} MB")
    try:
        found = json.loads(document)
        content, mac = found["content"], found["mac"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ManifestError(f"{what}: it is damaged") from None
    if not isinstance(content, dict) or set(found) != {"content", "mac"} or canonical(found) + b"\n" != document:
        raise ManifestError(f"{what}: it is damaged")
    if mac is None:
        if keys:
            raise ManifestError(f"{what}: it is not signed, and signing_key is given")
        return content, "none"
    if not isinstance(mac, dict) or set(mac) != {"algorithm", "key_id", "value"} or mac["algorithm"] != "hmac-sha256" or not all(
            isinstance(mac[name], str) for name in ("key_id", "value")):
        raise ManifestError(f"{what}: its signature is damaged")
    if not keys:
        return content, "unchecked"
    if mac["key_id"] not in keys:
        raise ManifestError(f"{what}: it was signed with another key than signing_key{' and previous_signing_keys' if previous else ''}")
    if not hmac.compare_digest(mac["value"].encode(), _mac(what, content, keys[mac["key_id"]]).encode()):
        raise ManifestError(f"{what}: its signature is wrong: it was changed")
    return content, "good"


# ---- what a manifest has to say


def checked(manifest: Content, cluster: str, identifier: str) -> Content:
    """The manifest, where it is one of this set; else :class:`ManifestError`."""
    if manifest.get("format") != FORMAT:
        raise ManifestError(f"manifest: its format is {one_line(repr(manifest.get('format')), 20)}, and {FORMAT} is known here")
    _typed(manifest, _MANIFEST, "manifest")
    if (manifest["cluster"], manifest["id"]) != (cluster, identifier):
        told = one_line(f"{manifest['cluster']}/{manifest['id']}", 100)
        raise ManifestError(f"manifest: it is that of {told}, not of {cluster}/{identifier}")
    if manifest["kind"] not in KINDS or manifest["compression"] != "zstd" or manifest["encryption"] not in (None, "age"):
        raise ManifestError("manifest: its kind, compression or encryption is not known here")
    begun = time_of(identifier)
    if begun is None or abs(manifest["started"] - begun) > 1000 or manifest["finished"] < manifest["started"]:
        raise ManifestError("manifest: its times and its id don't fit together")
    for entry in manifest["shards"]:
        _typed(entry, _SHARD, "manifest: a shard")
        _typed(entry["node"], {"id": (str,), "address": (str,), "role": (str,)}, "manifest: a node")
        _typed(entry["server"], {"flavour": (str,), "version": (str,)}, "manifest: a server")
    for entry in manifest["records"]:
        _typed(entry, _RECORD, "manifest: a record")
    _covered(manifest["shards"])
    _named(manifest)
    return manifest


def _typed(data: t.Any, fields: t.Mapping[str, tuple[type, ...]], where: str) -> None:
    if not isinstance(data, dict):
        raise ManifestError(f"{where} is not a dictionary")
    for name, types in fields.items():
        value = data.get(name, fields)
        if type(value) not in types or (isinstance(value, int) and not -1 <= value < 1 << 63):
            raise ManifestError(f"{where}: {name} is missing or wrong")


def _covered(shards: t.Sequence[Content]) -> None:
    """Every slot is in one shard, and in one only."""
    seen = bytearray(SLOTS)
    for entry in shards:
        for pair in entry["slots"]:
            ends = isinstance(pair, list) and len(pair) == 2 and all(isinstance(end, int) and not isinstance(end, bool) for end in pair)
            if not (ends and 0 <= pair[0] <= pair[1] < SLOTS):
                raise ManifestError("manifest: the slots of a shard are wrong")
            for slot in range(pair[0], pair[1] + 1):
                seen[slot] += seen[slot] < 2
    if seen.count(1) != SLOTS:
        raise ManifestError(f"manifest: {seen.count(0)} slots are in no shard, {seen.count(2)} in several")


def _named(manifest: Content) -> None:
    names = [entry["object"] for entry in objects(manifest)]
    for entry in objects(manifest):
        if not _OBJECT.fullmatch(entry["object"]) or entry["object"].endswith(".age") is not (manifest["encryption"] == "age"):
            raise ManifestError(f"manifest: {one_line(repr(entry['object']), 60)} is no name of an object of a backup")
        if not _HEX.fullmatch(entry["sha256"]) or entry["stored_bytes"] < 0:
            raise ManifestError(f"manifest: size or digest of {entry['object']} is wrong")
    if len(set(names)) != len(names):
        raise ManifestError("manifest: an object is named twice")


# ---- that it was verified


def verification(manifest: bytes, level: str, now: int) -> Content:
    """The record that a set was read back, bound to the manifest as it is stored."""
    return {"format": FORMAT, "manifest_sha256": hashlib.sha256(manifest).hexdigest(), "level": level, "at": now}


def verifies(record: Content, manifest: bytes) -> bool:
    return record.get("manifest_sha256") == hashlib.sha256(manifest).hexdigest() and isinstance(record.get("at"), int)
