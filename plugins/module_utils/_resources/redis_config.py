# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Settings of the nodes of a Redis Cluster: read of each, written where they differ, one node after the other, and kept (H55, H58)."""

from __future__ import annotations

import ipaddress
import socket
import typing as t
from concurrent.futures import ThreadPoolExecutor

from .. import _cluster_health, _redis_settings
from .._errors import CachingError, one_line
from .._reconcile import Change, Mode, Object, Wanted, reconcile
from .._redis import ERRORS, Redis
from .._redis_settings import FILES, FIXED, PAIRS, alike, canonical, is_secret
from .._redis_tls import fingerprint
from .redis_nodes import Nodes

SERVED, READ = "certificate served", "files"   # no settings, but they differ and are changed as settings do
_OLD, _NEW = "as they were read", "read again"
_KINDS = ("all", "primaries", "replicas")


class Config:
    """The settings of one run."""

    kind = "Redis node"
    concurrency = 1     # one node after the other, and none after one that refused

    def __init__(self, params: t.Mapping[str, t.Any], source: Redis) -> None:
        self.source, self.persist = source, bool(params["persist"])
        self.want = _declared(params)
        self.files = list(dict.fromkeys(params["reload"]))
        self.roles, self._config_files = _selected(params, source)
        self.prints = _fingerprints(params["fingerprints"], self.roles, params.get("redis_address_map") or {})
        if not (self.want or self.files or self.prints):
            raise CachingError("nothing is declared: give settings, secrets, reload or fingerprints")
        asked = [*self.want, *self.files, *(PAIRS[0] if self.prints else ()), *(name for pair in PAIRS if {*pair} & {*self.want, *self.files} for name in pair)]
        self._asked = list(dict.fromkeys(asked))
        self.fields: t.Mapping[str, str] = {name: "text" for name in (*self.want, SERVED, READ)}
        self._raw: dict[str, dict[str, str]] = {}
        self._first: dict[str, Object] = {}
        self._clients: dict[str, t.Any] = {}
        self._again: set[str] = set()   # who has read its files again
        self._stopped = ""

    def run(self, run: Mode) -> dict[str, t.Any]:
        want = {name: canonical(name, value) for name, value in self.want.items()}
        wanted = {}
        for address in self.roles:
            own = {SERVED: self.prints[address]} if address in self.prints else {}
            wanted[address] = {**want, **own, **({READ: _NEW} if self.files and not self.prints else {})}
        result = reconcile(run, self, Wanted(wanted))
        after = result.pop("objects")
        rows = [{"node": address, "role": role, "before": self._first[address], "after": after[address]} for address, role in self.roles.items()]
        return {**result, "nodes": rows}

    # ---- what the reconciler asks for

    def read(self) -> dict[str, Object]:
        with ThreadPoolExecutor(min(16, len(self.roles))) as threads:
            found = dict(zip(self.roles, threads.map(self._one, self.roles)))
        self._first = self._first or found
        return found

    def guard(self, changes: list[Change]) -> None:
        for change in changes:
            fixed = [name for name in change.fields if name in FIXED]
            if fixed:
                raise CachingError(f"{change.name}: {fixed[0]} can't be changed while Redis runs: set it in its configuration file and restart it; "
                                   "nothing was changed")
            empty = [name for name in self._read_again(change) if not {**self._raw[change.name], **self.want}.get(name)]
            if empty:
                raise CachingError(f"{change.name}: {empty[0]} has no value, so there is nothing to read again; nothing was changed")
            if self.persist and self._set(change) and not self._config_files[change.name]:
                raise CachingError(f"{change.name} was started without a configuration file, so nothing can be kept there: with persist: false "
                                   "the settings hold until it restarts; nothing was changed")

    def write(self, change: Change) -> bool:
        if self._stopped:
            raise _certain(f"not tried, as {self._stopped} failed")
        try:
            self._change(change)
        except CachingError:
            self._stopped = change.name
            raise
        return False

    # ---- one node

    def _one(self, address: str) -> Object:
        found = self._get(address)
        unknown = [name for name in self._asked if name not in found]
        if unknown:
            raise CachingError(f"{address} has no setting {', '.join(unknown)}; nothing was changed")
        self._raw[address] = found
        shown: Object = {name: alike(name, found[name], value) for name, value in self.want.items()}
        if address in self.prints:
            shown[SERVED] = self.source.served(*_place(address))
        elif self.files and not self.prints:
            shown[READ] = _NEW if address in self._again else _OLD
        return shown

    def _get(self, address: str) -> dict[str, str]:
        if not self._asked:
            return {}
        try:
            found = self._client(address).config_get(*self._asked)
        except ERRORS as error:
            raise self.source.refusal_at(address, error) from None
        return {_text(name): _text(value) for name, value in found.items()}

    def _client(self, address: str) -> t.Any:
        """One connection to the end: a new password is asked of new ones only."""
        if address not in self._clients:
            self._clients[address] = self.source.client(*_place(address))
        return self._clients[address]

    def _read_again(self, change: Change) -> list[str]:
        if not {SERVED, READ} & {*change.fields}:
            return []
        return list(dict.fromkeys([*self.files, *(PAIRS[0] if SERVED in change.fields else ())]))

    def _set(self, change: Change) -> dict[str, str]:
        return {name: self.want[name] for name in change.fields if name in self.want}

    def _change(self, change: Change) -> None:
        address, now = change.name, self._raw[change.name]
        new = self._set(change)
        again = {name: now[name] for name in self._read_again(change) if name not in new}
        self._config(address, _redis_settings.together({**new, **again}, now))
        self._again.add(address)
        if not (new and self.persist):
            return
        try:
            self._client(address).config_rewrite()
        except ERRORS as error:
            told = f"CONFIG REWRITE: {one_line(error, 160)}"
            try:
                self._config(address, _redis_settings.together({name: now[name] for name in new}, now))
            except CachingError as worse:
                raise CachingError(f"{told}; its settings are changed but not kept, and could not be set back: {worse.message}") from None
            raise _certain(f"{told}; its settings were set back") from None

    def _config(self, address: str, words: t.Mapping[str, str]) -> None:
        """All of them or none, in one command."""
        try:
            self._client(address).execute_command("CONFIG SET", *(word for pair in words.items() for word in pair))
        except ERRORS as error:
            if type(error).__name__ != "ResponseError":
                raise self.source.refusal_at(address, error) from None
            told = _redis_settings.refusal(one_line(error, 200))
            pair = [name for name in words if name in FILES]
            more = f" (sent together: {', '.join(f'{name} {words[name]}' for name in pair)}; are they readable there, and of one key?)" if pair else ""
            raise _certain(f"CONFIG SET {told}{more}") from None


def _certain(text: str) -> CachingError:
    """An error after which certainly nothing has changed."""
    error = CachingError(text)
    error.may_have_acted = False
    return error


def _declared(params: t.Mapping[str, t.Any]) -> dict[str, str]:
    settings, secrets = (_redis_settings.named(params[option] or {}, option) for option in ("settings", "secrets"))
    shown = [name for name in settings if is_secret(name)]
    if shown:
        raise CachingError(f"settings: {shown[0]} is a secret and would be shown: give it under secrets")
    plain = [name for name in secrets if not is_secret(name)]
    if plain:
        raise CachingError(f"secrets: {plain[0]} is no secret: give it under settings")
    return {**settings, **secrets}


def _selected(params: t.Mapping[str, t.Any], source: Redis) -> tuple[dict[str, str], dict[str, str]]:
    """The role of each chosen node, in the order in which they are written; and their configuration files."""
    chosen = params["nodes"]
    looked = Nodes(source, 1, 1)
    looked.look()
    known = _cluster_health.known(looked.views)
    where = _cluster_health.addresses(looked.views)
    roles = {where[node.id]: "primary" if node.is_primary else "replica" for node in known.values() if node.id in where}
    strange = [name for name in chosen if name not in (*_KINDS, *roles)]
    if strange or not chosen:
        given = f"{strange[0]} is none of the cluster's nodes" if strange else "it is empty"
        raise CachingError(f"nodes: {given}; give all, primaries, replicas, or some of {', '.join(sorted(roles))}")
    wanted = [address for address, role in roles.items() if {"all", address, "primaries" if role == "primary" else "replicas"} & {*chosen}]
    if not wanted:
        raise CachingError(f"nodes: the cluster has no {' or '.join(chosen)}")
    seen = {view.address: view for view in looked.views}
    for address in wanted:
        if address not in seen or seen[address].error:
            reason = seen[address].error if address in seen else "nobody knows where it is"
            raise CachingError(f"{address} does not answer, so nothing was changed: {reason}")
    last = "primary" if params["order"] == "replicas_first" else "replica"
    wanted.sort(key=lambda address: (roles[address] == last, address))
    return {address: roles[address] for address in wanted}, {address: seen[address].info.get("config_file", "") for address in wanted}


def _fingerprints(given: t.Mapping[str, t.Any], roles: t.Mapping[str, str], moved: t.Mapping[str, t.Any]) -> dict[str, str]:
    """By the address that each node announces. It may be given by the one where it is reached, or by a name."""
    by_place = {_plain(*_place(address)): address for address in roles}
    reached = {_plain(*_place(str(new))): _plain(*_place(str(old))) for old, new in moved.items()}
    found: dict[str, str] = {}
    for name, text in given.items():
        print_ = fingerprint(str(text), f"fingerprints: {name}")
        if name in roles:
            found[name] = print_
            continue
        if not str(name).rpartition(":")[2].isdigit():
            raise CachingError(f"fingerprints: {one_line(repr(name), 80)} is no host:port")
        place = _plain(*_place(str(name)))
        places = [place, *([] if place in reached or place in by_place else _resolved(*place))]
        address = next((by_place[one] for one in (reached.get(one, one) for one in places) if one in by_place), None)
        if address is None:
            raise CachingError(f"fingerprints: {name} is none of the chosen nodes ({', '.join(roles)})")
        if found.setdefault(address, print_) != print_:
            raise CachingError(f"fingerprints: {name} is {address}, and that has two of them")
    return found


def _resolved(host: str, port: int) -> list[tuple[str, int]]:
    """The addresses of a name; none where it is one, or where nobody knows it."""
    try:
        return [_plain(str(row[4][0]), port) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return []


def _place(address: str) -> tuple[str, int]:
    host, _colon, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _plain(host: str, port: int) -> tuple[str, int]:
    """To compare by: an address in its shortest form, as IPv6 has many."""
    try:
        return str(ipaddress.ip_address(host)), port
    except ValueError:
        return host.lower(), port


def _text(value: t.Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
