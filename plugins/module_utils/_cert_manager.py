# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Places whose certificates cert-manager keeps: what their Certificates have to be like, and what these say of themselves. Pure functions.

cert-manager issues, renews and writes the Secret. What it has written is read by the programs when this collection lets them; which
certificate and roots they have read last stands in an annotation of the Certificate, as fingerprints.
"""

from __future__ import annotations

import re
import typing as t

from ._cert_names import parse_all
from ._duration import parse
from ._errors import CachingError, one_line

Data = dict[str, t.Any]
PROVIDER, GROUP = "cert-manager", "cert-manager.io"
READ = "exalt.caching/read"
TAKES = ("provider", "issuer", "names", "common_name", "organization", "key_type", "validity", "renew_before")
KINDS = ("Issuer", "ClusterIssuer")
_KEYS = {"ecdsa": "ECDSA", "rsa": "RSA", "ed25519": "Ed25519"}
_SHARE = re.compile(r"([0-9]{1,2})\s*%")


def issuer(part: str, own: Data) -> Data:
    """Who signs for a part, as it is declared."""
    what = f"caching_certificates: {part}"
    unfit = [name for name in own if name not in TAKES]
    if unfit:
        raise CachingError(f"{what}: with provider cert-manager there is no {unfit[0]}; it takes {', '.join(TAKES[1:])}")
    found = own.get("issuer")
    if not isinstance(found, dict) or not isinstance(found.get("name"), str) or not found["name"]:
        raise CachingError(f"{what}: provider cert-manager needs issuer: {{name: …, kind: Issuer or ClusterIssuer}}")
    unknown = [name for name in found if name not in ("name", "kind", "group")]
    if unknown:
        raise CachingError(f"{what}: issuer has no {one_line(repr(unknown[0]), 40)}; it takes name, kind and group")
    result = {"kind": KINDS[0], "group": GROUP, **found}
    if result["group"] == GROUP and result["kind"] not in KINDS:
        raise CachingError(f"{what}: issuer: kind is {' or '.join(KINDS)}, not {one_line(repr(result['kind']), 40)}")
    return result


def objects(places: t.Iterable[Data]) -> list[Data]:
    """A Certificate for each of these places. It has the name of its Secret."""
    return [_certificate(one) for one in places if one["provider"] == PROVIDER]


def _certificate(place: Data) -> Data:
    options, part = place["options"], f"caching_certificates: {place['part']}"
    names = parse_all(options["subject_alt_names"], f"{part}: names")
    kind, _dash, size = options["key_type"].partition("-")
    if kind not in _KEYS:
        raise CachingError(f"{part}: key_type: {one_line(repr(options['key_type']), 40)} is none of ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096 "
                           "and ed25519")
    key = {"algorithm": _KEYS[kind], "rotationPolicy": "Always", **({"size": int(size.removeprefix("p"))} if size else {})}
    usages = ["digital signature", *(["key encipherment"] if kind == "rsa" else []), *(f"{one} auth" for one in options["usages"])]
    alike = {field: [name.text for name in names if name.kind == kind] for field, kind in (("dnsNames", "DNS"), ("ipAddresses", "IP"), ("uris", "URI"))}
    return {
        "apiVersion": f"{GROUP}/v1", "kind": "Certificate",
        "metadata": {"name": options["secret"], "namespace": options["namespace"], "labels": {"app.kubernetes.io/managed-by": "exalt.caching"}},
        "spec": {
            "secretName": options["secret"], "issuerRef": place["issuer"], "commonName": options.get("common_name") or options["name"],
            **{field: some for field, some in alike.items() if some},
            **({"subject": {"organizations": [options["organization"]]}} if options.get("organization") else {}),
            "usages": usages, "privateKey": key, "duration": _span(options["validity"], f"{part}: validity"),
            **_renewal(options["renew_before"], f"{part}: renew_before"),
        },
    }


def _renewal(text: str, option: str) -> Data:
    if "%" not in str(text):
        return {"renewBefore": _span(text, option)}
    share = _SHARE.fullmatch(str(text).strip())
    if not share or not int(share[1]):
        raise CachingError(f"{option}: cert-manager takes whole shares from 1% to 99%, not {one_line(repr(text), 40)}")
    return {"renewBeforePercentage": int(share[1])}


def _span(text: str, option: str) -> str:
    """As Go writes a duration, so that it is the same text when it comes back."""
    minutes, seconds = divmod(int(parse(text, option)), 60)
    return f"{minutes // 60}h{minutes % 60}m{seconds}s"


def doubled(found: t.Iterable[Data], wanted: t.Iterable[Data]) -> list[str]:
    """Other Certificates that write a Secret of ours: cert-manager would obey none of them."""
    ours = {one["metadata"]["name"] for one in wanted}
    return [f"Certificate {one['metadata']['name']} writes Secret {one['spec']['secretName']}" for one in found
            if one["spec"].get("secretName") in ours and one["metadata"]["name"] != one["spec"]["secretName"]]


def marks(found: t.Iterable[Data]) -> dict[str, str]:
    """By the names of Certificates, what was read of them."""
    return {one["metadata"]["name"]: (one["metadata"].get("annotations") or {}).get(READ, "") for one in found}


def waiting(found: t.Iterable[Data], wanted: t.Iterable[Data], requests: t.Iterable[Data] = ()) -> list[str]:
    """Certificates that are not ready as they are declared now, each with the reason that cert-manager gives. ``requests``: CertificateRequests."""
    here = {one["metadata"]["name"]: one for one in found}
    asked = sorted(requests, key=lambda one: str(one["metadata"].get("creationTimestamp", "")))
    result = []
    for name in (one["metadata"]["name"] for one in wanted):
        says = _conditions(here.get(name, {}))
        ready, issuing = says.get("Ready", {}), says.get("Issuing", {})
        now = ready.get("observedGeneration") == here.get(name, {}).get("metadata", {}).get("generation")
        if ready.get("status") == "True" and now and issuing.get("status") != "True":
            continue
        of_it = [one for one in asked if (one["metadata"].get("annotations") or {}).get(f"{GROUP}/certificate-name") == name]
        cause = _conditions(of_it[-1]).get("Ready", {}) if of_it else {}
        words = [one.get("message") for one in (issuing, ready, cause) if one and (one is not ready or now and not issuing.get("message"))]
        told = list(dict.fromkeys(one_line(text, 300) for text in words if text))
        result.append(f"Certificate {name}: {'; '.join(told) or 'cert-manager says nothing of it; does its controller run?'}")
    return result


def _conditions(found: Data) -> dict[str, Data]:
    return {one["type"]: one for one in (found.get("status") or {}).get("conditions") or []}
