# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The certificates of a whole fleet (S141 to S146, H49, H54): where they are kept, and what has to be done to them, in which order.

What is shown and what is trusted are two things. Nobody may show a certificate before everybody trusts who signed it, and nobody may stop
trusting before nobody shows it. So a change goes in rounds, each over all places: trust is widened, certificates are renewed, trust is
narrowed. Which rounds are left is read from what the places hold, so a run that was cut off is finished by the next one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import typing as t

from . import _cert_manager as manager
from ._errors import CachingError, one_line

Data = dict[str, t.Any]
PARTS = ("service", "redis", "balancer", "client")
ROUNDS = ("widen", "leaves", "narrow")
UNTIL = {"trusted": 1, "renewed": 2, "narrowed": 3}
DEFAULTS: t.Mapping[str, t.Any] = {"provider": "ownca", "key_type": "ecdsa-p256", "validity": "P90D", "renew_before": "33%", "keep_previous": 3}
PROVIDERS = ("ownca", "provided", "selfsigned", manager.PROVIDER)
PLAIN = ("provider", "issuer", "names", "common_name", "organization", "key_type", "validity", "renew_before", "keep_previous", "mode", "usages",
         "keystore_path", "certificate_path", "key_path", "chain_path", "certificate_content", "chain_content")
_NEEDS = {"service": "give the instances a tls_url, and caching_certificate_paths", "balancer": "on hosts with systemd, caching_balancer_group has them",
          **dict.fromkeys(("redis", "client"), "it needs caching_redis_tls (and caching_certificate_paths)")}
SECRET = ("key_content", "keystore_password")
_KEY = "PRIVATE" + " KEY-----"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


def places(found: t.Iterable[Data], declared: t.Any) -> list[Data]:
    """What a platform found, with what is declared for each part. ``found``: name, part, node, become, endpoints, names, where (options of a place)."""
    declared, found = {} if declared is None else declared, list(found)
    _known(declared)
    here = {one["part"] for one in found}
    if found and (absent := [part for part, own in declared.items() if own and part not in here]):
        raise CachingError(f"caching_certificates: {absent[0]} is declared, and nothing of this fleet has such a certificate; {_NEEDS[absent[0]]}")
    result = []
    for one in found:
        own = {**DEFAULTS, **(declared.get(one["part"]) or {})}
        given = list(map(str, own.pop("names", None) or []))
        alone = own["provider"] == "provided" and bool(given)      # who issued it knows its names; nobody here can add any
        names = list(dict.fromkeys([*given, *([] if alone else one.get("names", []))]))
        usages = own.pop("usages", None) or _usages(one["part"], own["provider"], here)
        options = {name: value for name, value in own.items() if name not in SECRET and name not in ("provider", "issuer")}
        if own["provider"] == manager.PROVIDER and one["where"].get("destination") != "kubernetes_secret":
            raise CachingError(f"caching_certificates: {one['part']}: provider cert-manager is for Kubernetes; here it is ownca, provided or selfsigned")
        result.append({
            "name": one["name"], "part": one["part"], "provider": own["provider"], "node": one.get("node") or "localhost",
            **({"issuer": manager.issuer(one["part"], declared[one["part"]])} if own["provider"] == manager.PROVIDER else {}),
            "become": bool(one.get("become")), "endpoints": list(one.get("endpoints", [])), "verify": given if alone else list(one.get("verify", [])),
            "options": {"name": one.get("common_name", one["name"]), "subject_alt_names": names, "usages": usages, **options, **one["where"]},
        })
    if twice := next((one["name"] for number, one in enumerate(result) if one["name"] in [other["name"] for other in result[:number]]), ""):
        raise CachingError(f"caching_certificates: two certificates of this fleet would be {one_line(repr(twice), 60)}; give each part a name of its own "
                           "(instances, Secrets)")
    return result


def _usages(part: str, provider: str, here: t.Collection[str]) -> list[str]:
    """What a certificate of this part is shown as. The service is a client to Redis only where Redis speaks TLS; authorities of others issue few of these."""
    if part == "client":
        return ["client"]
    both = part == "redis" or part == "service" and (provider != "provided" or bool({"redis", "client"} & set(here)))
    return ["server", "client"] if both else ["server"]


def _no_keys(declared: t.Any) -> None:
    """What is not secret is shown, in facts and in messages, so a key may stand only where it is kept secret."""
    every: Data = declared if isinstance(declared, dict) else {"": declared}
    for part, own in every.items():
        some: Data = own if isinstance(own, dict) else {"": own}
        for name, value in some.items():
            if name not in SECRET and _KEY in f"{part} {name} {value}":
                where = f"{part}: {name}" if part in PARTS and name in PLAIN else str(part) if part in PARTS else "it"
                raise CachingError(f"caching_certificates: {where} holds a private key, and would show it; give certificates alone there, and their key as "
                                   "key_content or key_path")


def _known(declared: t.Any) -> None:
    _no_keys(declared)
    if not isinstance(declared, dict):
        raise CachingError(f"caching_certificates: give a mapping of {', '.join(PARTS)}, not {one_line(repr(declared), 60)}")
    for part, own in declared.items():
        if part not in PARTS:
            raise CachingError(f"caching_certificates: {one_line(repr(part), 40)} is none of {', '.join(PARTS)}")
        if not isinstance(own, dict | None):
            raise CachingError(f"caching_certificates: {part} has to be a mapping of {', '.join(PLAIN)}, not {one_line(repr(own), 60)}")
        unknown = [name for name in own or {} if name not in (*PLAIN, *SECRET)]
        if unknown:
            raise CachingError(f"caching_certificates: {part} has no {one_line(repr(unknown[0]), 40)}; it takes {', '.join((*PLAIN, *SECRET))}")
        provider = (own or {}).get("provider", DEFAULTS["provider"])
        if provider not in PROVIDERS:
            raise CachingError(f"caching_certificates: {part}: provider is {', '.join(PROVIDERS[:-1])} or {PROVIDERS[-1]}, not {one_line(repr(provider), 40)}")
        if provider != manager.PROVIDER and "issuer" in (own or {}):
            raise CachingError(f"caching_certificates: {part}: issuer is for provider cert-manager, not for {provider}")
        if provider == manager.PROVIDER:
            manager.issuer(part, own or {})
        if not isinstance(names := (own or {}).get("names"), list | None):
            raise CachingError(f"caching_certificates: {part}: names is a list of names, not {one_line(repr(names), 60)}")
        keep, usages = (own or {}).get("keep_previous", 1), (own or {}).get("usages") or ["server"]
        if not str(keep).isdigit() or not 1 <= int(keep) <= 20:
            raise CachingError(f"caching_certificates: {part}: keep_previous goes from 1 to 20 (with 0 there is no way back), not {one_line(repr(keep), 40)}")
        if not isinstance(usages, list) or not set(map(str, usages)) <= {"server", "client"}:
            raise CachingError(f"caching_certificates: {part}: usages is a list of server and client, not {one_line(repr(usages), 60)}")
        if provider == "selfsigned" and part in ("redis", "client"):
            raise CachingError(f"caching_certificates: {part}: selfsigned can't be: each node would have to trust every other by itself; use ownca")


def parts(found: t.Iterable[Data]) -> list[Data]:
    """What one look at endpoints can go over: those that are verified alike. Redis has its bus beside each port."""
    result: dict[tuple[str, ...], Data] = {}
    for place in found:
        for protocol in {"redis": ("redis", "redis_bus")}.get(place["part"], ("https",)):
            row = result.setdefault((place["part"], protocol, *place["verify"]), {
                "name": f"{place['part']} bus" if protocol == "redis_bus" else place["part"], "protocol": protocol, "names": place["verify"], "endpoints": []})
            row["endpoints"] += [bus(one) if protocol == "redis_bus" else one for one in place["endpoints"]]
    return [row for row in result.values() if row["endpoints"]]


def bus(endpoint: str) -> str:
    host, _colon, port = endpoint.rpartition(":")
    return f"{host}:{int(port) + 10000}"


def roots(text: str) -> dict[str, str]:
    """Certificates of a text in PEM, by their fingerprints (SHA-256)."""
    found = {}
    for block in _PEM.findall(text or ""):
        try:
            der = base64.b64decode("".join(block.splitlines()[1:-1]), validate=True)
        except (binascii.Error, ValueError):
            continue
        found[hashlib.sha256(der).hexdigest()] = block + "\n"
    return found


def plan(found: t.Sequence[Data], looks: t.Sequence[Data], chain: str, trusted: t.Any, until: str, now: str, marks: t.Mapping[str, str] | None = None) -> Data:
    """The rounds that are left. ``looks``: what cert_rotate told of each place; ``chain``: the own authority with what is above it, empty where
    it is still to be made; ``now`` and dates in ISO-8601; ``marks``: what was read of that which cert-manager has written."""
    if until not in (*UNTIL, "rolled_back"):
        raise CachingError(f"caching_certificates_until: it is one of {', '.join(UNTIL)}, not {one_line(repr(until), 40)}")
    own = list(roots(chain).items())[-1:]
    looked = [_Looked(place, look, now, (marks or {}).get(place["name"], "")) for place, look in zip(found, looks)]
    given, expired = _given(trusted), {print_ for one in looked for print_ in one.judged.get("expired_roots") or []}
    wanted = {**dict(own), **{print_: text for print_, text in given.items() if print_ not in expired}}
    back = [one for one in looked if one.back]
    if back:
        _goes_together(looked)
    for one in looked:                                           # its own root always stays trusted
        wanted.update(one.trusted if one.kept else one.root if one.place["provider"] == "provided" else {})
    _kept_by_others([one for one in looked if one.kept], wanted, until)
    every = {**wanted, **{print_: text for one in looked if not one.alone for print_, text in one.trusted.items()}}
    unmade = not own and any(one.place["provider"] == "ownca" for one in looked)
    leaves = [one for one in looked if one.due or unmade and one.place["provider"] == "ownca"]
    widen = [one for one in looked if not one.kept and not one.alone and one.good and wanted.keys() - one.trusted.keys()]
    mend = [one for one in looked if not one.kept and one.good and one.judged.get("drift") and one not in leaves]
    narrow = [one for one in looked if not one.alone and every.keys() - wanted.keys() and (one in [*widen, *leaves] or one.trusted.keys() - wanted.keys())]
    steps: list[tuple[str, list[_Looked], dict[str, str], str]] = [
        ("widen", widen, every, "trust is widened"), ("leaves", leaves, every, "certificates are renewed"),
        ("narrow", narrow, wanted, "trust is narrowed"), ("mend", mend, every, "modes, owners, links and keystores are mended"),
    ]
    alike = [one for one in back if one.same]
    if back:
        steps = [("back", back, {}, "the version before serves again" if back != alike else "whom they trusted before is trusted again")]
    steps = [step for number, step in enumerate(steps, 1) if step[1] and (back or step[0] == "mend" or number <= UNTIL.get(until, 0))]
    unread = [one for one in looked if one.there and not one.activated]
    # widening and mending let everybody read by themselves, and an authority that is still to be made begins with widening
    if unread and (not steps or steps[0][0] in ("leaves", "narrow") and not unmade and _readable(looked)):
        steps.insert(0, ("read", [], every, "what was written before is read"))
    rows = [{"name": name, "places": [one.name for one in some], "trusted": list(texts.values()),
             "told": f"({number}/{len(steps)}) {told}: {', '.join(one.name for one in some or unread)}"}
            for number, (name, some, texts, told) in enumerate(steps, 1)]
    renewed = leaves if any(row["name"] == "leaves" for row in rows) else []
    told = [f"{one.name}: {one.why}" for one in renewed] + [row["told"] for row in rows]
    if alike:
        told.append(f"{', '.join(one.name for one in alike)}: only trust goes back; the certificate stays")
    if gone := len(given.keys() & expired):
        told.append(f"caching_ca: {gone} of the roots in trusted {'has' if gone == 1 else 'have'} expired, and {'is' if gone == 1 else 'are'} left out")
    told += [f"{one.name}: its authority is another than the one that was read last, which cert-manager trusts no more: members that run and don't trust "
             "the new one can't be reached. Give the issuer the one before and renew, or start all members anew at once" for one in looked if one.turned]
    changed = {"renewed": leaves, "trust widened": widen, "trust narrowed": narrow, "mended": mend}
    if back:
        changed = {"rolled back": back}
    taken = {"widen": "trust widened", "leaves": "renewed", "narrow": "trust narrowed", "mend": "mended", "back": "rolled back"}
    summary = {taken[row["name"]]: [one.name for one in changed[taken[row["name"]]]] for row in rows if row["name"] in taken}
    if any(row["name"] == "read" for row in rows):
        summary = {"read": [one.name for one in unread], **summary}
    return {"rounds": rows, "told": told, "summary": summary, "renewed": [one.name for one in renewed],
            "roots": list({**every, **{print_: text for one in looked for print_, text in one.trusted.items()}}.values()),
            "serving": [one.name for one in looked if one.serves], "expired": {one.name: one.end for one in looked if one.end and one.end <= now},
            "refused": [one.name for one in looked if one.there and (not one.good or one.end <= now)], "fingerprints": _served(looked),
            "versions": {one.name: one.version if one.serves else None for one in looked}}


def _readable(looked: t.Iterable[_Looked]) -> bool:
    """Whether everybody can be spoken to before certificates are renewed: what clients refuse proves nothing, and without a client nobody is asked."""
    return all(one.good if one.there else one.place["part"] != "client" for one in looked)


def _served(looked: t.Iterable[_Looked]) -> dict[str, str]:
    """Which certificate every endpoint has to show, as its place holds it."""
    return {endpoint: one.print_ for one in looked if one.print_ for row in parts([one.place]) for endpoint in row["endpoints"]}


def _kept_by_others(kept: list[_Looked], wanted: t.Mapping[str, str], until: str) -> None:
    """What cert-manager keeps changes by its hand alone, and so does whom it trusts."""
    if kept and until == "rolled_back":
        raise CachingError(f"caching_certificates_state: {kept[0].name} is kept by cert-manager, which has no version before; declare what it shall issue")
    for one in kept:
        if one.there and not one.trusted:
            raise CachingError(f"{one.name}: its issuer puts no ca.crt into the Secret, so nobody would know whom to trust; use one that does")
        if one.there and (more := len(wanted.keys() - one.trusted.keys())):
            raise CachingError(f"{one.name}: cert-manager decides whom it trusts, and {more} of the roots of other parts or of caching_ca.trusted "
                               f"{'is' if more == 1 else 'are'} not in its ca.crt: give all parts one issuer, and renew all when its authority has changed")


def _given(trusted: t.Any) -> dict[str, str]:
    rows = [trusted] if isinstance(trusted, str) else trusted or []
    found: dict[str, str] = {}
    for number, text in enumerate(rows):
        some = roots(text) if isinstance(text, str) else {}
        if not some:
            raise CachingError(f"caching_ca: trusted[{number}] holds no certificate in PEM")
        found.update(some)
    return found


def _signed_by(certificate: Data, trusted: t.Sequence[Data] | None) -> dict[str, str]:
    """Of the roots those that can have signed it, by their fingerprints."""
    return {one["fingerprint"]: one["certificate_content"] for one in trusted or [] if one["subject"] == certificate.get("issuer")}


def _goes_together(looked: t.Sequence[_Looked]) -> None:
    """What is shown after a way back is trusted by everybody: a version may be of before another authority, and others have none before."""
    for shows in looked:
        mine = shows.root_after.keys()
        cut = [one.name for one in looked if mine and not mine & one.trusted_after.keys()]
        if cut:
            raise CachingError(f"caching_certificates_state: rolled back, {shows.name} would show a certificate whose authority {', '.join(cut[:5])} would not "
                               "trust; instead let playbook certificates bring the wanted authority (caching_ca), which it does in rounds")


class _Looked:
    """One place with what was told of it."""

    def __init__(self, place: Data, look: Data, now: str, mark: str = "") -> None:
        self.place, self.name, self.kept = place, place["name"], place["provider"] == manager.PROVIDER
        certificate = look.get("certificate") or {}
        self.version: int = look.get("version") or int(self.kept and bool(mark))
        self.activated = bool(look.get("activated"))
        self.there, self.turned = bool(self.version or certificate), False      # what others have put there has no number
        self.serves = bool(mark) if self.kept else self.there
        self.alone = place["provider"] == "selfsigned"           # it trusts itself, and nobody here has to trust it
        self.judged: Data = look.get("judged") or {}
        self.end: str = certificate.get("not_after", "")
        self.print_: str = certificate.get("fingerprint", "")
        self.good: bool = self.judged.get("stays", bool(certificate) and certificate["not_before"] <= now < self.end)
        self.trusted = {one["fingerprint"]: one["certificate_content"] for one in look.get("trusted") or []}
        to_come = self.judged.get("root")
        self.root = {to_come["fingerprint"]: to_come["certificate_content"]} if to_come else _signed_by(certificate, look.get("trusted"))
        after = (look.get("diff") or {}).get("after") or {}
        self.why: str = look.get("reason") or "it is renewed"
        self.back = "is rolled back to" in self.why      # what a task calls changed is its own affair
        self.same = self.back and bool(self.print_) and (look.get("previous") or {}).get("fingerprint") == self.print_
        before = look.get("previous_trusted") if self.back else look.get("trusted")
        self.trusted_after = {one["fingerprint"]: "" for one in before or []}
        self.root_after = _signed_by((look.get("previous") if self.back else certificate) or {}, before)
        self.due = not self.back and not self.kept and (bool(look.get("csr")) or "requested" in after or bool(look.get("renewed")))
        if self.kept:
            self.turned = bool(mark and self.trusted) and not self.trusted.keys() & set(mark.split())
            self.there, self.activated = bool(certificate), set(mark.split()) == {certificate.get("fingerprint"), *self.trusted}
