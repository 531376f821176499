# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a backup keeps of the nodes besides their data: settings, ACL users, modules. Secrets only where it is encrypted.

And the one setting of a node that a backup may change, for its own time: ``rdbcompression``.
"""

from __future__ import annotations

import contextlib
import typing as t

from .. import _backup_plan, _cluster_health, _manifest
from .._cluster_health import View
from .._errors import CachingError
from .._manifest import Content
from .._redact import is_secret
from .._redis import ERRORS
from .catalogue import Catalogue
from .backup_sources import Sources

SETTING = "rdbcompression"


def document(sources: Sources, secrets: bool) -> Content:
    """The nodes as data; ``secrets``: passwords and their hashes too."""
    return {"format": _manifest.FORMAT, "nodes": [_node(sources, view, secrets) for view in sorted(sources.views.values(), key=lambda view: view.address)]}


def _node(sources: Sources, view: View, secrets: bool) -> Content:
    result: Content = {"address": view.address, "server": _backup_plan.server(view.info), "settings": None, "acl": None, "modules": None,
                       "left_out": [], "unread": {}}
    if view.error:
        result["unread"]["node"] = view.error
        return result
    client = sources.client(view.address)
    for name, read in (("settings", _settings), ("acl", _acl), ("modules", _modules)):
        try:
            result[name] = read(client)
        except ERRORS as error:
            result["unread"][name] = sources.redis.refusal_at(view.address, error).message
    if not secrets:
        known = result["settings"] or {}
        shown = _cluster_health.redacted(known)
        hidden = sorted(name for name, value in known.items() if value and (is_secret(name) or shown[name] != value))
        for name in hidden:
            del result["settings"][name]
        result["left_out"] = hidden
        if result["acl"] is not None:
            result["acl"] = [" ".join(word for word in line.split() if word[:1] not in "#!><") for line in result["acl"]]
            result["left_out"].append("passwords of ACL users")
    return result


def _settings(client: t.Any) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in client.config_get("*").items()}


def _acl(client: t.Any) -> list[str]:
    return [_text(line) for line in client.execute_command("ACL LIST")]


def _modules(client: t.Any) -> list[str]:
    names = []
    for row in client.execute_command("MODULE LIST"):
        fields = row if isinstance(row, dict) else dict(zip(row[::2], row[1::2]))
        names.append(_text(fields.get(b"name") or fields.get("name") or ""))
    return sorted(names)


def _text(value: t.Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def topology(sources: Sources) -> list[Content]:
    """Every node and its part in the cluster."""
    rows = []
    for view in sorted(sources.views.values(), key=lambda view: view.address):
        mine = next((node for node in view.nodes if "myself" in node.flags), None)
        if mine:
            rows.append({
                "id": mine.id, "address": view.address, "role": "primary" if mine.is_primary else "replica", "primary_id": mine.primary_id,
                "slots": [list(pair) for pair in mine.slots], "epoch": mine.epoch, "server": _backup_plan.server(view.info),
            })
    return rows


class Uncompressed:
    """While the ``with`` lasts, the chosen nodes don't compress what they send; then all is as it was.

    A mark in the store says so before it is done: a run that dies leaves the mark, and the next backup puts the setting back.
    """

    def __init__(self, catalogue: Catalogue, sources: Sources) -> None:
        self._catalogue = catalogue
        self._sources = sources
        self._folder = f"{_manifest.folder(catalogue.cluster)}/marks"
        self._changed: dict[str, str] = {}

    def restore_marked(self) -> list[str]:
        """What an earlier run could not put back, put back: the addresses."""
        by_id = {node.id: view.address for view in self._sources.views.values() for node in view.nodes if "myself" in node.flags}
        done = []
        for entry in self._catalogue.store.entries(self._folder):
            identifier = entry.name.rpartition("/")[2]
            if identifier in by_id:
                self._put_back(by_id[identifier], identifier)
                done.append(by_id[identifier])
        return done

    def set(self, nodes: t.Iterable[tuple[str, str]]) -> None:
        """``nodes``: id and address."""
        for identifier, address in nodes:
            client = self._sources.client(address)
            try:
                if _text(client.config_get(SETTING).get(SETTING, "no")) == "yes":
                    self._catalogue.store.put_if_absent(f"{self._folder}/{identifier}", _manifest.canonical({SETTING: "yes"}))
                    self._changed[identifier] = address
                    client.config_set(SETTING, "no")
            except ERRORS as error:
                told = self._sources.redis.refusal_at(address, error).message
                raise CachingError(f"uncompressed_source: {told}. It needs +config|get and +config|set") from None

    def __enter__(self) -> Uncompressed:
        return self

    def __exit__(self, *_error: object) -> None:
        for identifier, address in self._changed.items():
            with contextlib.suppress(CachingError):  # the mark stays, and the next run does it
                self._put_back(address, identifier)

    def _put_back(self, address: str, identifier: str) -> None:
        try:
            self._sources.client(address).config_set(SETTING, "yes")
        except ERRORS as error:
            told = self._sources.redis.refusal_at(address, error).message
            self._sources.once(f"{SETTING} of {address} is still off, and the next backup will put it back: {told}")
            raise CachingError(told) from None
        self._catalogue.store.delete(f"{self._folder}/{identifier}")
