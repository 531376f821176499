# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What is checked before a certificate is installed: pair, dates, names, usage, chain. Pure functions; each problem names its remedy."""

from __future__ import annotations

import typing as t

from . import _cert_model as model
from ._cert_make import constraints_of
from ._cert_model import Facts, moment
from ._cert_names import Name, outside, uncovered
from ._errors import one_line

if model.CRYPTOGRAPHY_ERROR is None:
    from cryptography import x509

_DEEPEST = 8
_WEAK = ("md5", "sha1")


class Verdict(t.NamedTuple):
    """``path``: leaf, intermediates and root, where there is a path; ``problems``: why it must not be installed."""

    path: list[x509.Certificate]
    problems: list[str]


def verdict(leaf: x509.Certificate, key: t.Any, others: t.Sequence[x509.Certificate], roots: t.Sequence[x509.Certificate],
            wanted: t.Sequence[Name], usages: t.Collection[str], now: float) -> Verdict:
    """Everything that is wrong with a certificate. ``key``: its private key, or None where it is not here."""
    have = model.facts(leaf)
    problems = []
    if key is not None and not model.same_key(key.public_key(), leaf.public_key()):
        problems.append("the key does not belong to the certificate; give the key that it was requested with")
    problems += content(have, wanted, usages, now)
    usage = model.extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        problems.append("its key usage does not allow signatures, without which there is no TLS; have it issued with digitalSignature")
    problems += _weak(leaf)
    path, why = _path(leaf, others, roots, now)
    if why:
        problems.append(why)
    return Verdict(path, problems)


def content(have: Facts, wanted: t.Sequence[Name], usages: t.Collection[str], now: float) -> list[str]:
    """What can be told from a certificate alone."""
    problems = dates(have, now)
    if not have.names:
        problems.append("it has no subject alternative names, and clients look at nothing else; have it issued with them (H51)")
    elif "server" in usages and all(name.kind == "URI" for name in have.names):
        problems.append("it has only URIs as names, and clients look for a host's name or address; have it issued with these (H51)")
    elif missing := uncovered(have.names, wanted):
        problems.append(f"it is not valid for {', '.join(missing)}; have it issued with every name in subject_alt_names")
    if have.usages is not None and (lacking := sorted(set(usages) - have.usages)):
        problems.append(f"it may not be used as {' and '.join(lacking)} (extended key usage); have it issued for that, or declare other usages")
    if have.authority:
        problems.append("it is the certificate of an authority; give the one that was issued for these names, first in the text")
    return problems


def dates(have: Facts, now: float) -> list[str]:
    if have.not_after <= now:
        return [f"it expired on {moment(have.not_after)}; have it renewed"]
    if have.not_before > now:
        return [f"it is valid from {moment(have.not_before)} only; wait, or set the clock of this host right"]
    return []


def _weak(leaf: x509.Certificate) -> list[str]:
    digest = leaf.signature_hash_algorithm
    if digest is not None and digest.name in _WEAK:
        return [f"it is signed with {digest.name}, which clients refuse; have it signed with SHA-256"]
    kind = model.key_type(leaf.public_key())
    if kind.startswith("rsa-") and int(kind.removeprefix("rsa-")) < 2048:
        return [f"its key {kind} is too short; make one of 2048 bits or more"]
    return []


def _path(leaf: x509.Certificate, others: t.Sequence[x509.Certificate], roots: t.Sequence[x509.Certificate], now: float
          ) -> tuple[list[x509.Certificate], str]:
    """The way from a leaf to a trusted root, or why there is none."""
    trusted = set(roots)
    trouble: list[str] = []

    def climb(path: list[x509.Certificate]) -> list[x509.Certificate]:
        last = path[-1]
        if last in trusted:
            return path
        for above in [*roots, *others]:
            if above in path or above.subject != last.issuer or len(path) > _DEEPEST or not model.signed_by(last, above):
                continue
            why = _may_sign(above, path, now)
            if why:
                trouble.append(f"{_called(above)} {why}")
            elif found := climb([*path, above]):
                return found
        return []

    found = climb([leaf])
    if found:
        return found, ""
    if trouble:
        return [], f"its chain is not good: {trouble[0]}"
    end = leaf
    while step := next((one for one in others if one != end and one.subject == end.issuer and model.signed_by(end, one)), None):
        end = step
    if model.self_signed(end):
        return [], f"it ends at {_called(end)}, which is not trusted; put that into trusted_certificates, or have it issued by a trusted authority"
    issuer = one_line(repr(model.facts(end).issuer), 120)
    return [], f"its issuer {issuer} is neither in chain_content nor trusted; give the chain and the root"


def _called(certificate: x509.Certificate) -> str:
    return one_line(repr(model.facts(certificate).subject), 120)


def _may_sign(above: x509.Certificate, path: t.Sequence[x509.Certificate], now: float) -> str:
    """Why an authority may not stand above this path, or nothing."""
    have = model.facts(above)
    basic, usage = model.extension(above, x509.BasicConstraints), model.extension(above, x509.KeyUsage)
    if basic is None or not basic.ca or usage is not None and not usage.key_cert_sign:
        return "is no authority"
    if basic.path_length is not None and len(path) - 1 > basic.path_length:
        return f"may have {basic.path_length} authorities below it, and has {len(path) - 1}"
    if problems := dates(have, now):
        return problems[0].removeprefix("it ")
    if bad := outside(model.facts(path[0]).names, constraints_of(above)):
        return f"may not sign for {', '.join(bad)} (name constraints)"
    return ""
