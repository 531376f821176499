# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Records in the store: sets of JSON documents, signed as a whole, with secrets encrypted and never changed.

``documents/<kind>/<id>/`` holds an object for each document, and ``index.json``, which is written last: without it there is
no set. The index is signed and has the digest of every object, so the objects need no signature of their own.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
import typing as t

from .._errors import CachingError, one_line
from .._manifest import ManifestError, canonical, new_id, opened, signed
from .._pack import identities, pack, recipients, unpack
from .._store_port import Store

Object = dict[str, t.Any]
FORMAT = 1
INDEX = "index.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}")
_LARGEST = 64 << 20
_FIELDS: dict[str, tuple[type, ...]] = {"name": (str,), "object": (str,), "secret": (bool,), "size": (int,), "sha256": (str,), "digest": (str, type(None))}


class Documents:
    """The sets of one kind."""

    def __init__(self, store: Store, params: t.Mapping[str, t.Any]) -> None:
        self.store = store
        self.kind = named("kind", params["kind"])
        self.key: str | None = params["signing_key"] or None
        self.previous: t.Sequence[str] = params["previous_signing_keys"] or ()
        self._folder = f"documents/{self.kind}"

    def ids(self) -> dict[str, float]:
        """The sets that are there by their age, youngest first."""
        found = {}
        for entry in self.store.entries(self._folder):
            identifier, _slash, name = entry.name.removeprefix(f"{self._folder}/").partition("/")
            if name == INDEX:
                found[identifier] = entry.age
        return _by_age(found)

    def index(self, identifier: str) -> Object | None:
        """What a set says of itself, if its signature is good; None where there is no set."""
        content = self.store.get(self._path(identifier, INDEX))
        if content is None:
            return None
        index, signature = opened(self._what(identifier), content, self.key, self.previous)
        rows = index.get("documents")
        fits = (index.get("format"), index.get("kind"), index.get("id")) == (FORMAT, self.kind, identifier) and isinstance(rows, list)
        if not fits or not all(isinstance(row, dict) and all(type(row.get(name, ...)) in types for name, types in _FIELDS.items()) for row in rows or []):
            raise ManifestError(f"{self._what(identifier)}: it is damaged")
        return {**index, "signature": signature}

    def read(self, identifier: str, row: Object, keys: t.Sequence[t.Any]) -> t.Any:
        """The content of one document; None for a secret where there is no identity."""
        what = f"{self._what(identifier)}: {row['name']}"
        stored = self.store.get(self._path(identifier, row["object"]))
        if stored is None or hashlib.sha256(stored).hexdigest() != row["sha256"]:
            raise ManifestError(f"{what} is {'missing' if stored is None else 'not what was written'}")
        if row["secret"] and not keys:
            return None
        plain = b"".join(unpack(iter([stored]), True, keys)) if row["secret"] else stored
        try:
            return json.loads(plain)
        except (ValueError, RecursionError):
            raise ManifestError(f"{what} is no JSON") from None

    def write(self, identifier: str, documents: t.Sequence[Object], to: t.Sequence[t.Any]) -> Object:
        rows = []
        for document in documents:
            plain = canonical(document["content"])
            stored, name = plain, f"{document['name']}.json"
            if document["secret"]:
                pieces: list[bytes] = []
                pack(iter([plain]), pieces.append, 3, to)
                stored, name = b"".join(pieces), f"{name}.zst.age"
            if not self.store.put_if_absent(self._path(identifier, name), stored):
                raise CachingError(
                    f"{self._what(identifier)}: {document['name']} is there already, but no index; remove that set with state: absent, or take another id"
                )
            rows.append({
                "name": document["name"], "object": name, "secret": document["secret"], "size": len(plain),
                "sha256": hashlib.sha256(stored).hexdigest(), "digest": self.digest(document)})
        index = {"format": FORMAT, "kind": self.kind, "id": identifier, "written": int(time.time() * 1000), "documents": rows}
        if not self.store.put_if_absent(self._path(identifier, INDEX), signed(self._what(identifier), index, self.key)):
            raise CachingError(f"{self._what(identifier)} was written by another run meanwhile")
        return index

    def delete(self, identifier: str) -> list[str]:
        """The index first, so that half a set is none."""
        place = self._path(identifier, "")
        found = sorted((entry.name for entry in self.store.entries(place.rstrip("/"))), key=lambda name: not name.endswith(f"/{INDEX}"))
        for name in found:
            self.store.delete(name)
        return [name.removeprefix(place) for name in found]

    def there(self, identifier: str) -> bool:
        return bool(self.store.entries(self._path(identifier, "").rstrip("/")))

    def digest(self, document: Object, there: str | None = None) -> str | None:
        """Tells contents apart. That of a secret can't be used to try guesses, so it needs the signing key.

        ``there``: the digest of a set that may be of a previous key; it is given back where the content is the same.
        """
        plain = canonical(document["content"])
        if not document["secret"]:
            return hashlib.sha256(plain).hexdigest()
        found = [hmac.new(key.encode(), b"exalt.caching digest\0" + plain, hashlib.sha256).hexdigest() for key in (self.key, *self.previous) if key]
        return there if there in found else found[0] if self.key else None

    def _path(self, identifier: str, name: str) -> str:
        return f"{self._folder}/{named('id', identifier)}/{name}"

    def _what(self, identifier: str) -> str:
        return f"documents {self.kind}/{identifier}"


class Job:
    """What one task declares: a set that is there, or is not."""

    def __init__(self, store: Store, params: t.Mapping[str, t.Any], hidden: bool) -> None:
        self.sets = Documents(store, params)
        self.state: str = params["state"]
        self.id: str | None = params["id"]
        self.warnings: list[str] = []
        self.documents = [] if self.state == "absent" else _declared(params["documents"] or [])
        self.to = recipients(params["encrypt_to"] or [])
        secret = [document["name"] for document in self.documents if document["secret"]]
        if secret and not self.to:
            raise CachingError(f"documents: {', '.join(secret)} is secret, so encrypt_to is needed; secrets are never stored in clear")
        if secret and not hidden:
            raise CachingError("documents: the task has to say no_log: true, as it has secrets; otherwise they stand in logs")
        if self.state == "absent" and not self.id:
            raise CachingError("id: it has to say which documents are to be absent")
        if self.state == "present" and not self.sets.key and self.sets.kind != "runs":   # of a run only people read
            self.warnings.append("the documents are not signed, as signing_key is not given: who can write to the store can change them unseen")

    def plan(self) -> tuple[bool, Object]:
        before: dict[str, str] = {}
        if self.state == "absent":
            there = self.sets.there(t.cast("str", self.id))
            return there, self._result(self.id, {"set": "present"} if there else {}, {}, [])
        identifier, index = self._there()
        digests = {row["name"]: row["digest"] for row in index["documents"]} if index else {}
        after = {document["name"]: _shown(self.sets.digest(document, digests.get(document["name"])), document["secret"]) for document in self.documents}
        if index:
            before = {row["name"]: _shown(row["digest"], row["secret"]) for row in index["documents"]}
            if before == after:
                return False, self._result(identifier, before, after, index["documents"])
            if self.id:
                names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
                raise CachingError(
                    f"documents {self.sets.kind}/{self.id} are there with another content of {', '.join(names)}; records are never changed: use another id"
                )
        return True, self._result(self.id, before, after, [])

    def _there(self) -> tuple[str | None, Object | None]:
        """The set of this id, or the newest that is good: read, so that nothing is called unchanged which could not be brought back."""
        for identifier in [self.id] if self.id else list(self.sets.ids()):
            try:
                index = self.sets.index(identifier)
                for row in index["documents"] if index else []:
                    self.sets.read(identifier, row, ())
                return identifier, index
            except CachingError as error:
                if self.id:
                    raise
                self.warnings.append(f"{error.message}; it counts for nothing")
        return None, None

    def act(self) -> Object:
        if self.state == "absent":
            self.sets.delete(t.cast("str", self.id))
            return {"documents": []}
        identifier = self.id or new_id(time.time(), secrets.token_hex(4))
        index = self.sets.write(identifier, self.documents, self.to)
        found = self.sets.index(identifier)
        if found is None or found["documents"] != index["documents"]:
            raise CachingError(f"documents {self.sets.kind}/{identifier} are not in the store as they were written")
        return {"id": identifier, "documents": _rows(index["documents"])}

    def _result(self, identifier: str | None, before: dict[str, str], after: dict[str, str], rows: list[Object]) -> Object:
        return {"id": identifier, "diff": {"before": before, "after": after}, "documents": _rows(rows)}


def look(store: Store, params: t.Mapping[str, t.Any]) -> Object:
    """The sets of a kind: all of them without contents, one of them, or the newest that is good, with contents; of several kinds one after the other."""
    found: Object = {"documents": [], "problems": []}
    for kind in params["kinds"] or [params["kind"]]:
        for name, rows in _look(store, {**params, "kind": kind}).items():
            found[name] += [{**row, "kind": kind} for row in rows]
    return found


def _look(store: Store, params: t.Mapping[str, t.Any]) -> Object:
    sets = Documents(store, params)
    keys = identities(params["identities"] or [])
    ages = sets.ids()
    wanted = [params["id"]] if params["id"] else list(ages)
    found: list[Object] = []
    problems: list[Object] = []
    for identifier in wanted:
        try:
            index = sets.index(identifier)
            if index is None:
                break
            full = bool(params["id"] or params["newest"])
            for row in index["documents"]:
                content = sets.read(identifier, row, keys) if full else None
                age = round(ages.get(identifier, 0.0), 1)
                found.append({**_rows([row])[0], "id": identifier, "age": age, "signature": index["signature"], "content": content})
        except CachingError as error:
            problems.append({"id": identifier, "reason": error.message})
            found = [entry for entry in found if entry["id"] != identifier]
            continue
        if params["newest"]:
            break
    if params["id"] and problems:
        raise CachingError(problems[0]["reason"], documents=[], problems=problems)
    return {"documents": found, "problems": problems}


def named(option: str, text: str) -> str:
    if not _NAME.fullmatch(text):
        raise CachingError(f"{option}: {one_line(repr(text), 80)} must be letters, digits and _ . : @ - (at most 128)")
    return text


def _declared(documents: t.Sequence[Object]) -> list[Object]:
    if not documents:
        raise CachingError("documents: give at least one")
    names = [named("documents: name", document["name"]) for document in documents]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or "index" in names:
        raise CachingError(f"documents: {', '.join(twice)} is there twice" if twice else "documents: index can't be the name of one")
    for document in documents:
        try:
            size = len(canonical(document["content"]))
        except (TypeError, ValueError):
            raise CachingError(f"documents: the content of {document['name']} can't be written as JSON") from None
        if size > _LARGEST:
            raise CachingError(f"documents: {document['name']} is larger than {_LARGEST >> 20} MB")
    return list(documents)


def _by_age(found: dict[str, float]) -> dict[str, float]:
    """Youngest first; of the same age, the id decides, which for those made here holds a time."""
    names = sorted(found, reverse=True)
    return {name: found[name] for name in sorted(names, key=lambda name: found[name])}


def _shown(digest: str | None, secret: bool) -> str:
    return ("secret, " if secret else "") + (f"sha256 {digest[:16]}" if digest else "not compared")


def _rows(rows: t.Iterable[Object]) -> list[Object]:
    return [{"name": row["name"], "secret": row["secret"], "size": row["size"], "sha256": row["sha256"]} for row in rows]
