# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Making keys, requests, certificates, authorities and keystores. Nothing here reads or writes a file.

What is made passes the strict checks of Python 3.13 (``VERIFY_X509_STRICT``): an authority has critical basic constraints and
key usage and a subject key identifier; a leaf has names, the identifiers of both keys, and says that it is for servers and
clients, as the nodes of the cluster bus are both.
"""

from __future__ import annotations

import datetime
import ipaddress
import typing as t

from . import _cert_model as model
from ._cert_names import Name, Network
from ._cert_policy import ROOM, SKEW, Wish

if model.CRYPTOGRAPHY_ERROR is None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import pkcs12
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if t.TYPE_CHECKING:
    from ._cert_model import Key

AUTHORITY_KEY = "ecdsa-p384"


class Issuer(t.NamedTuple):
    """Who signs: the certificate, its key, and what lies between it and the root."""

    certificate: x509.Certificate
    key: Key
    chain: list[x509.Certificate]


def new_key(kind: str) -> Key:
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind in model.CURVES:
        return ec.generate_private_key(ec.SECP256R1() if kind == "ecdsa-p256" else ec.SECP384R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=int(kind.removeprefix("rsa-")))


def _digest(key: Key) -> hashes.SHA256 | hashes.SHA384 | None:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    return hashes.SHA384() if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256 else hashes.SHA256()


def _subject(common_name: str, organization: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _names(names: t.Iterable[Name]) -> x509.SubjectAlternativeName:
    def general(name: Name) -> x509.GeneralName:
        if name.kind == "IP":
            return x509.IPAddress(ipaddress.ip_address(name.text))
        return x509.UniformResourceIdentifier(name.text) if name.kind == "URI" else x509.DNSName(name.text)

    return x509.SubjectAlternativeName([general(name) for name in names])


def _usage(*allowed: str) -> x509.KeyUsage:
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
             "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name in allowed for name in every})


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc)


def request(want: Wish, key: Key) -> bytes:
    """A certificate signing request in PEM (S139), with every name."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(want.common_name, want.organization))
    return builder.add_extension(_names(want.names), critical=False).sign(key, _digest(key)).public_bytes(serialization.Encoding.PEM)


def _leaf(want: Wish, public_key: t.Any, issuer_name: x509.Name, issuer_key: t.Any, now: float, end: float) -> x509.CertificateBuilder:
    usages = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
    is_rsa = isinstance(public_key, rsa.RSAPublicKey)
    identifier = x509.SubjectKeyIdentifier.from_public_key(issuer_key) if not isinstance(issuer_key, x509.SubjectKeyIdentifier) else issuer_key
    return (
        x509.CertificateBuilder().subject_name(_subject(want.common_name, want.organization)).issuer_name(issuer_name)
        .public_key(public_key).serial_number(x509.random_serial_number()).not_valid_before(_moment(now - SKEW)).not_valid_after(_moment(end))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature", *(["key_encipherment"] if is_rsa else [])), critical=True)
        .add_extension(x509.ExtendedKeyUsage([oid for name, oid in usages.items() if name in want.usages]), critical=False)
        .add_extension(_names(want.names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )


def selfsigned(want: Wish, key: Key, now: float) -> x509.Certificate:
    """Its own root: for trials."""
    subject = _subject(want.common_name, want.organization)
    return _leaf(want, key.public_key(), subject, key.public_key(), now, now + want.lifetime).sign(key, _digest(key))


def leaf(want: Wish, public_key: t.Any, issuer: Issuer, now: float) -> x509.Certificate:
    """A certificate by the authority (S140). It never outlives what signs it."""
    found = model.extension(issuer.certificate, x509.SubjectKeyIdentifier)
    end = min([now + want.lifetime, *(model.facts(one).not_after for one in (issuer.certificate, *issuer.chain))])
    builder = _leaf(want, public_key, issuer.certificate.subject, found or issuer.certificate.public_key(), now, end)
    return builder.sign(issuer.key, _digest(issuer.key))


def authority(organization: str, length: float, constraints: t.Sequence[tuple[str, Network | str]], now: float, common_name: str = ""
              ) -> tuple[x509.Certificate, Key]:
    """A root that signs leaves only (path length 0). Its name tells its key, so that an old and a new one are told apart."""
    key = new_key(AUTHORITY_KEY)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    named = (common_name or f"{organization or 'exalt.caching'} authority")[:ROOM - 9]
    subject = _subject(f"{named} {identifier.digest.hex()[:8]}", organization)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(_moment(now - SKEW)).not_valid_after(_moment(now + length))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    if constraints:
        permitted = [x509.DNSName(part) if isinstance(part, str) else x509.IPAddress(part) for _kind, part in constraints]
        builder = builder.add_extension(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), critical=True)
    return builder.sign(key, _digest(key)), key


def constraints_of(certificate: x509.Certificate) -> list[tuple[str, Network | str]]:
    """What an authority may sign for, in the form of ``_cert_names.constraint``."""
    found = model.extension(certificate, x509.NameConstraints)
    rows: list[tuple[str, Network | str]] = []
    for one in (found.permitted_subtrees or []) if found else []:
        if isinstance(one, x509.DNSName):
            rows.append(("DNS", one.value.lower().removeprefix(".")))
        elif isinstance(one, x509.IPAddress) and isinstance(one.value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
            rows.append(("IP", one.value))
    return rows


def keystore(alias: str, key: Key, chain: t.Sequence[x509.Certificate], password: str) -> bytes:
    """PKCS #12 with the key and its chain, as the JVM reads it."""
    how = serialization.BestAvailableEncryption(password.encode())
    return pkcs12.serialize_key_and_certificates(alias.encode(), key, chain[0], list(chain[1:]) or None, how)


def truststore(roots: t.Sequence[x509.Certificate], password: str) -> bytes:
    """PKCS #12 with the trusted roots, each marked as trusted as the JVM wants it."""
    entries = [pkcs12.PKCS12Certificate(root, f"root-{model.fingerprint(root)[:16]}".encode()) for root in roots]
    return pkcs12.serialize_java_truststore(entries, serialization.BestAvailableEncryption(password.encode()))


def stores_fit(key_file: bytes, trust_file: bytes, password: str, key: Key, chain: t.Sequence[x509.Certificate],
               roots: t.Sequence[x509.Certificate]) -> bool:
    """Whether both stores can be opened with the password, and hold just this."""
    try:
        have, trust = (pkcs12.load_pkcs12(data, password.encode()) for data in (key_file, trust_file))
    except (ValueError, TypeError):
        return False
    held = [have.cert.certificate if have.cert else None, *(one.certificate for one in have.additional_certs)]
    good = have.key is not None and model.same_key(have.key.public_key(), key.public_key()) and held == list(chain)
    return good and {one.certificate for one in trust.additional_certs} == set(roots)
