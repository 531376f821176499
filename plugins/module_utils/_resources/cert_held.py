# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A version as objects: what its files hold, whether they are whole, how it is shown, and its files again."""

from __future__ import annotations

import typing as t

from .. import _cert_checks, _cert_make, _x509
from .. import _cert_model as model
from .._cert_model import Facts
from .._cert_names import Name
from .._errors import CachingError
from . import cert_disk as disk
from .cert_place import CERTIFICATE, KEY, KEYSTORE, OURS, ROOTS, TRUSTSTORE, Version

if t.TYPE_CHECKING:
    from cryptography import x509

MOST = 100      # trusted roots


class Set(t.NamedTuple):
    """What is installed together. ``chain``: the leaf and what is between it and the root."""

    chain: list[x509.Certificate]
    key: model.Key
    roots: list[x509.Certificate]

    @property
    def facts(self) -> Facts:
        return model.facts(self.chain[0])

    def files(self, alias: str, password: str | None) -> dict[str, bytes]:
        found = {CERTIFICATE: model.pem(self.chain), KEY: model.key_pem(self.key), ROOTS: model.pem(self.roots)}
        if password:
            found[KEYSTORE] = _cert_make.keystore(alias, self.key, self.chain, password)
            found[TRUSTSTORE] = _cert_make.truststore(self.roots, password)
        return found

    def problems(self, names: t.Sequence[Name], usages: t.Collection[str], now: float) -> list[str]:
        """Why a client would not accept it: by its contents, by its chain, and in a handshake."""
        problems = _cert_checks.verdict(self.chain[0], self.key, self.chain[1:], self.roots, names, usages, now).problems
        if not problems and "server" in usages:
            hosts = [name.text.replace("*", "any", 1) for name in (names or self.facts.names) if name.kind != "URI"]
            refused = _x509.rehearse(model.pem(self.chain), model.key_pem(self.key), model.pem(self.roots), hosts, "client" in usages)
            problems = [f"a client with strict checks refuses it: {refused}; have it issued anew"] if refused else []
        return problems

    def refuse(self, what: str, names: t.Sequence[Name], usages: t.Collection[str], now: float) -> None:
        if problems := self.problems(names, usages, now):
            raise CachingError(f"{what}: {'; '.join(problems)}. Nothing was installed")


class Held(t.NamedTuple):
    """The present version. ``trouble``: why it can't serve, whatever it says; then ``whole`` is None."""

    version: Version | None = None
    facts: Facts | None = None
    whole: Set | None = None
    roots: list[x509.Certificate] = []
    trouble: str = ""

    @property
    def told(self) -> dict[str, t.Any] | None:
        return model.told(self.facts) if self.facts else None


def held(version: Version | None) -> Held:
    """A version that is damaged is no error here: it is a reason for another."""
    if version is None:
        return Held()
    facts, roots = None, []
    try:
        if version.files.get(ROOTS):
            roots = model.certificates(version.files[ROOTS], ROOTS)
        chain = model.certificates(version.files.get(CERTIFICATE, b""), CERTIFICATE)
        facts = model.facts(chain[0])
        key = model.private_key(version.files.get(KEY, b""), KEY)
    except CachingError as error:
        return Held(version, facts, None, roots, error.message)
    if not model.same_key(key.public_key(), chain[0].public_key()):
        return Held(version, facts, None, roots, "its key belongs to another certificate")
    return Held(version, facts, Set(chain, key, roots), roots)


def way_back(current: Version, previous: t.Sequence[Version], password: str | None) -> tuple[Version, Set, dict[str, bytes] | None]:
    """The newest version before that is whole. Without a password no keystore can be made, so its own files come back, with those that it has."""
    older = next((version for version in previous if held(version).whole), previous[0])
    found = held(older)
    if found.whole is None:
        raise CachingError(f"state: version {older.number} can't serve again: {found.trouble}")
    if password:
        return older, found.whole, None
    if KEYSTORE in current.files and KEYSTORE not in older.files:
        raise CachingError(f"keystore_password: there are keystores now, and none are kept of version {older.number}; give it, so that they are made")
    return older, found.whole, {name: content for name, content in older.files.items() if name in OURS}


def stores_differ(version: Version | None, wanted: Set, password: str | None) -> str:
    """What of the keystores is not as declared, or nothing."""
    files = version.files if version else {}
    have = [name for name in (KEYSTORE, TRUSTSTORE) if name in files]
    if not password:
        return f"{' and '.join(have)} are not declared" if have else ""
    if len(have) < 2:
        return "there are no keystores yet"
    good = _cert_make.stores_fit(files[KEYSTORE], files[TRUSTSTORE], password, wanted.key, wanted.chain, wanted.roots)
    return "" if good else "the keystores hold something else, or have another password"


def rows(roots: t.Iterable[x509.Certificate]) -> list[dict[str, t.Any]]:
    """Roots as results show them."""
    return [{"fingerprint": facts.fingerprint, "subject": facts.subject, "not_after": model.moment(facts.not_after),
             "certificate_content": model.pem([root]).decode()} for root in roots for facts in [model.facts(root)]]


def judged(have: Held, keep: Set | None, left: t.Iterable[str], password: str | None, roots: t.Iterable[x509.Certificate], usages: t.Collection[str],
           now: float) -> dict[str, t.Any]:
    """For the plan of a fleet: whether what is there can stay while trust changes around it, what beside it is not as declared, and the root to come.

    ``roots``: who will be trusted beside those that are.
    """
    drift, stays = list(left), False
    if have.whole:
        drift += filter(None, [stores_differ(have.version, have.whole, password)])
        if keep and keep.chain[0] == have.whole.chain[0] and keep.chain != have.whole.chain:
            drift.append("its chain is another")
        shown_as = ("client",) if set(usages) == {"client"} else ("server",)
        stays = not have.whole._replace(roots=unique([*have.roots, *roots])).problems((), shown_as, now)
    return {"stays": stays, "drift": drift, "root": next(iter(rows(keep.roots[:1])), None) if keep else None}


def over(texts: t.Iterable[str], now: float) -> list[str]:
    """Fingerprints of those roots of an option that have expired, and are left out."""
    return [facts.fingerprint for text in texts for root in model.certificates(text, "trusted_certificates")
            for facts in [model.facts(root)] if facts.not_after <= now]


def trusted(texts: t.Iterable[str], option: str, now: float, warn: t.Callable[[str], None]) -> list[x509.Certificate]:
    """The roots of an option, each once; those that are over are left out."""
    found: dict[str, x509.Certificate] = {}
    for number, text in enumerate(texts):
        what = f"{option}[{number}]"
        for root in model.certificates(text, what):
            facts = model.facts(root)
            if not model.self_signed(root):
                raise CachingError(f"{what}: {facts.subject} is no root, as somebody else signed it; put it into chain_content, and its root here")
            if facts.not_after <= now:
                warn(f"{what}: {facts.subject} expired on {model.moment(facts.not_after)} and is left out")
            else:
                found[facts.fingerprint] = root
    if len(found) > MOST:
        raise CachingError(f"{option}: {len(found)} roots are more than {MOST}")
    return list(found.values())


def unique(roots: t.Iterable[x509.Certificate]) -> list[x509.Certificate]:
    return list({model.fingerprint(root): root for root in roots}.values())


def roots_differ(have: t.Sequence[x509.Certificate], want: t.Sequence[x509.Certificate]) -> str:
    """How trusted roots are not as wanted, or nothing."""
    def subjects(some: t.Iterable[x509.Certificate], other: t.Collection[x509.Certificate]) -> str:
        return ", ".join(model.facts(one).subject for one in some if one not in other)

    new, gone = subjects(want, have), subjects(have, want)
    return "; ".join(filter(None, [f"{new} is not trusted yet" if new else "", f"{gone} is to be trusted no more" if gone else ""]))


def shown(facts: Facts | None, roots: t.Sequence[x509.Certificate], stores: bool, place: dict[str, t.Any]) -> dict[str, t.Any]:
    """One side of the diff. Keys are never a part of it."""
    if facts is None:
        return dict(place)
    return {"names": [str(name) for name in facts.names], "common_name": facts.common_name, "key_type": facts.key_type,
            "usages": None if facts.usages is None else sorted(facts.usages), "issuer": facts.issuer,
            "valid": f"until {model.moment(facts.not_after)}", "trusted": sorted(model.facts(root).subject for root in roots),
            "keystores": stores, **place}


def file(path: str, option: str) -> bytes:
    """A file of the host where the module runs."""
    with disk.told(option):
        found = disk.read(path)
    if found is None:
        raise CachingError(f"{option}: there is no file {path} on the host where this module runs")
    return found
