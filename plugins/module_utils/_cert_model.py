# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Certificates and keys as they are read: PEM to objects, objects to plain facts. An error is one line and never quotes a key."""

from __future__ import annotations

import datetime
import hashlib
import traceback
import typing as t

from ._cert_names import Name
from ._errors import CachingError, one_line

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    CRYPTOGRAPHY_ERROR = None
    _UNREADABLE: tuple[type[Exception], ...] = (ValueError, TypeError, UnsupportedAlgorithm)
    _UNSIGNED: tuple[type[Exception], ...] = (*_UNREADABLE, InvalidSignature)
except ImportError:
    CRYPTOGRAPHY_ERROR = traceback.format_exc()
    _UNREADABLE = _UNSIGNED = (ValueError,)

if t.TYPE_CHECKING:
    Key = t.Union[ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey]

KEY_TYPES = ("ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519")
CURVES = {"ecdsa-p256": "secp256r1", "ecdsa-p384": "secp384r1"}
LONGEST = 1 << 20


class Facts(t.NamedTuple):
    """What a certificate says, as plain data. Times are seconds since 1970; ``usages`` is None where it has no limits."""

    names: tuple[Name, ...] = ()
    common_name: str = ""
    organization: str = ""
    key_type: str = "ecdsa-p256"
    usages: frozenset[str] | None = frozenset()
    not_before: float = 0.0
    not_after: float = 0.0
    authority: bool = False
    key_ids: bool = True      # it has the identifiers of its own and its issuer's key, without which strict clients refuse it
    fingerprint: str = ""
    serial: str = ""
    subject: str = ""
    issuer: str = ""

    @property
    def lifetime(self) -> float:
        return self.not_after - self.not_before


def moment(seconds: float) -> str:
    """A time as results and messages show it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def certificates(pem: str | bytes, what: str) -> list[x509.Certificate]:
    """All certificates of a PEM text, in order. ``what`` is the option or file that an error names."""
    data = _bytes(pem, what)
    if b"PRIVATE" + b" KEY-----" in data:
        raise CachingError(f"{what}: it holds a private key; here only certificates belong")
    if b"-----BEGIN CERTIFICATE-----" not in data:
        raise CachingError(f"{what}: it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
    try:
        found = x509.load_pem_x509_certificates(data)
        for certificate in found:
            facts(certificate)   # a part that can't be read is told here and not in the middle of something
    except _UNREADABLE as error:
        raise CachingError(f"{what}: it can't be read as certificates in PEM ({one_line(error, 120)}); was it cut off?") from None
    return found


def from_der(chain: t.Iterable[bytes]) -> list[x509.Certificate]:
    """What a handshake showed."""
    try:
        found = [x509.load_der_x509_certificate(one) for one in chain]
        for certificate in found:
            facts(certificate)
    except _UNREADABLE as error:
        raise CachingError(f"what it serves can't be read as a certificate ({one_line(error, 120)})") from None
    return found


def private_key(pem: str | bytes, what: str, passphrase: str | None = None) -> Key:
    """A private key in PEM. Encrypted ones need their passphrase."""
    data = _bytes(pem, what)
    if b"PRIVATE" + b" KEY-----" not in data:
        raise CachingError(f"{what}: it holds no private key in PEM")
    encrypted = b"ENCRYPTED" in data
    if encrypted and not passphrase:
        raise CachingError(f"{what}: the key is encrypted; give its passphrase, or the key in clear from a vault")
    try:
        key = serialization.load_pem_private_key(data, passphrase.encode() if encrypted and passphrase else None)
    except _UNREADABLE:
        why = "the passphrase is wrong, or the key is damaged" if encrypted else "it can't be read as a private key in PEM; was it cut off?"
        raise CachingError(f"{what}: {why}") from None
    if key_type(key.public_key()) not in KEY_TYPES:
        raise CachingError(f"{what}: a key of the kind {key_type(key.public_key())} is not supported; use one of {', '.join(KEY_TYPES)}")
    return t.cast("Key", key)


def signing_request(pem: str | bytes, what: str) -> x509.CertificateSigningRequest:
    """A request for a certificate whose signature shows that the key is there."""
    data = _bytes(pem, what)
    try:
        found = x509.load_pem_x509_csr(data)
        good = found.is_signature_valid
        key_type(found.public_key())
        request_names(found)
    except _UNREADABLE:
        raise CachingError(f"{what}: it can't be read as a certificate signing request in PEM") from None
    if not good:
        raise CachingError(f"{what}: its signature is wrong, so it was not made with its key")
    return found


def request_names(request: x509.CertificateSigningRequest) -> list[Name]:
    try:
        return _general(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _bytes(pem: str | bytes, what: str) -> bytes:
    data = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
    if len(data) > LONGEST:
        raise CachingError(f"{what}: it has {len(data)} bytes, more than any certificate")
    return data


def facts(certificate: x509.Certificate) -> Facts:
    """What a certificate says."""
    usage, names = extension(certificate, x509.ExtendedKeyUsage), extension(certificate, x509.SubjectAlternativeName)
    basic = extension(certificate, x509.BasicConstraints)
    known = {ExtendedKeyUsageOID.SERVER_AUTH: "server", ExtendedKeyUsageOID.CLIENT_AUTH: "client"}
    limits = None if usage is None else frozenset(known[one] for one in usage if one in known)
    if usage is not None and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage:
        limits = None
    return Facts(
        names=tuple(_general(names)) if names else (), common_name=_part(certificate, NameOID.COMMON_NAME),
        organization=_part(certificate, NameOID.ORGANIZATION_NAME), key_type=key_type(certificate.public_key()), usages=limits,
        not_before=certificate.not_valid_before_utc.timestamp(), not_after=certificate.not_valid_after_utc.timestamp(),
        authority=bool(basic and basic.ca), key_ids=all(extension(certificate, kind) is not None for kind in (
            x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier)),
        fingerprint=fingerprint(certificate), serial=f"{certificate.serial_number:x}", subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
    )


_Extension = t.TypeVar("_Extension", bound="x509.ExtensionType")


def extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _general(found: x509.SubjectAlternativeName) -> list[Name]:
    names = []
    for one in found:
        if isinstance(one, x509.DNSName):
            names.append(Name("DNS", one.value.lower()))
        elif isinstance(one, x509.IPAddress):
            names.append(Name("IP", str(one.value)))
        elif isinstance(one, x509.UniformResourceIdentifier):
            names.append(Name("URI", one.value))
    return names


def _part(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    found = certificate.subject.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate in hexadecimal, as C(openssl x509 -fingerprint -sha256) shows it, without colons."""
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def key_type(key: t.Any) -> str:
    """One of KEY_TYPES, else a name for the message."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return next((name for name, curve in CURVES.items() if curve == key.curve.name), f"ecdsa-{key.curve.name}")
    if isinstance(key, rsa.RSAPublicKey):
        return f"rsa-{key.key_size}"
    return "ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else type(key).__name__.removesuffix("PublicKey").lower()


def same_key(one: t.Any, other: t.Any) -> bool:
    """Whether two public keys are the same."""
    def raw(key: t.Any) -> bytes:
        return t.cast(bytes, key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))

    return raw(one) == raw(other)


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether ``issuer`` signed it: names, and the signature itself."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except _UNSIGNED:
        return False
    return True


def self_signed(certificate: x509.Certificate) -> bool:
    return signed_by(certificate, certificate)


def pem(found: t.Iterable[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in found)


def key_pem(key: Key, passphrase: str | None = None) -> bytes:
    """PKCS #8; encrypted (AES-256) where there is a passphrase."""
    how = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def told(what: Facts) -> dict[str, t.Any]:
    """A certificate as results show it."""
    return {
        "fingerprint": what.fingerprint, "serial": what.serial, "not_before": moment(what.not_before), "not_after": moment(what.not_after),
        "names": [str(name) for name in what.names], "issuer": what.issuer, "subject": what.subject, "key_type": what.key_type,
        "usages": None if what.usages is None else sorted(what.usages),
    }
