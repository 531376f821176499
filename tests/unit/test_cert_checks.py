# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before it is installed, and that what is made here is accepted: by these checks, and in a handshake."""

from __future__ import annotations

import datetime
import functools
import time
import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _cert_make as make
from ansible_collections.exalt.caching.plugins.module_utils import _cert_model as model
from ansible_collections.exalt.caching.plugins.module_utils._cert_checks import verdict
from ansible_collections.exalt.caching.plugins.module_utils._cert_names import Name, constraint, parse_all
from ansible_collections.exalt.caching.plugins.module_utils._cert_policy import Wish
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._x509 import rehearse
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.x509.oid import NameOID

DAY = 86400.0
NOW = time.time()
BOTH = frozenset(("server", "client"))
NAMES = tuple(parse_all(["caching-service", "*.redis.svc", "10.0.0.7", "URI:spiffe://fleet/service"], "n"))
WISH = Wish("caching-service", NAMES)
HOSTS = ("caching-service", "redis-0.redis.svc", "10.0.0.7")


@functools.cache
def authority(name: str = "", length: float = 3650 * DAY, when: float = NOW, limits: tuple[str, ...] = ()) -> make.Issuer:
    certificate, key = make.authority(name, length, [constraint(text, "c") for text in limits], when)
    return make.Issuer(certificate, key, [])


def issued(want: Wish = WISH, issuer: make.Issuer | None = None, when: float = NOW) -> tuple[x509.Certificate, model.Key]:
    key = make.new_key(want.key_type)
    return make.leaf(want, key.public_key(), issuer or authority(), when), key


def found(leaf: x509.Certificate, key: t.Any, others: t.Sequence[x509.Certificate] = (), roots: t.Sequence[x509.Certificate] | None = None,
          names: t.Sequence[Name] = NAMES, usages: t.Collection[str] = BOTH) -> list[str]:
    return verdict(leaf, key, others, [authority().certificate] if roots is None else roots, names, usages, NOW).problems


def shaken(chain: t.Sequence[x509.Certificate], key: model.Key, roots: t.Sequence[x509.Certificate], hosts: t.Sequence[str] = ()) -> str:
    return rehearse(model.pem(chain), model.key_pem(key), model.pem(roots), hosts or HOSTS, True)


def built(*extensions: tuple[x509.ExtensionType, bool], issuer: make.Issuer, subject: str = "x", key: t.Any = None, digest: t.Any = None,
          before: float = NOW - DAY, after: float = NOW + DAY) -> tuple[x509.Certificate, t.Any]:
    """A certificate with just these extensions, as others may make them."""
    key = key or ec.generate_private_key(ec.SECP256R1())

    def moment(seconds: float) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc)

    builder = x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])).issuer_name(issuer.certificate.subject)
    builder = builder.public_key(key.public_key()).serial_number(7).not_valid_before(moment(before)).not_valid_after(moment(after))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer.key, digest or hashes.SHA384()), key


# ---- what is made here


@pytest.mark.parametrize("kind", model.KEY_TYPES)
def test_what_is_made_is_accepted(kind: str) -> None:
    leaf, key = issued(WISH._replace(key_type=kind))
    assert found(leaf, key) == [] and shaken([leaf], key, [authority().certificate]) == ""
    facts = model.facts(leaf)
    assert (facts.names, facts.key_type, facts.usages, facts.key_ids, facts.authority) == (NAMES, kind, BOTH, True, False)
    assert facts.lifetime == pytest.approx(90 * DAY + make.SKEW, abs=2) and facts.common_name == "caching-service"
    own = make.selfsigned(WISH._replace(key_type=kind), key, NOW)
    assert found(own, key, roots=[own]) == [] and shaken([own], key, [own]) == ""


def test_a_leaf_does_not_outlive_its_authority() -> None:
    short = authority("short", 5 * DAY)
    assert model.facts(issued(issuer=short)[0]).not_after == model.facts(short.certificate).not_after


def test_an_authority_says_what_it_is() -> None:
    certificate = authority(limits=("svc", "10.0.0.0/8")).certificate
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert basic.critical and basic.value.ca and basic.value.path_length == 0 and usage.critical and usage.value.key_cert_sign
    assert certificate.extensions.get_extension_for_class(x509.NameConstraints).critical
    assert make.constraints_of(certificate) == [constraint("svc", "c"), constraint("10.0.0.0/8", "c")]
    assert model.self_signed(certificate) and authority("a").certificate.subject != authority("b").certificate.subject


def test_a_request_has_every_name() -> None:
    key = make.new_key("ecdsa-p256")
    request = model.signing_request(make.request(WISH, key), "csr")
    assert model.request_names(request) == list(NAMES) and model.same_key(request.public_key(), key.public_key())


def test_keystores_hold_what_they_should() -> None:
    leaf, key = issued()
    other, other_key = issued()
    roots = [authority().certificate, authority("b").certificate]
    stores = make.keystore("a", key, [leaf], "secret-1"), make.truststore(roots, "secret-1")
    assert make.stores_fit(*stores, "secret-1", key, [leaf], roots) and make.stores_fit(*stores, "secret-1", key, [leaf], roots[::-1])
    assert not make.stores_fit(*stores, "secret-2", key, [leaf], roots) and not make.stores_fit(*stores, "secret-1", key, [leaf], roots[:1])
    assert not make.stores_fit(*stores, "secret-1", other_key, [other], roots) and not make.stores_fit(b"", b"x", "secret-1", key, [leaf], roots)


# ---- what is refused


@pytest.mark.hazard("H51")
def test_a_certificate_without_names_is_refused() -> None:
    """As the guide makes it: no extension at all."""
    leaf, key = built(issuer=authority())
    told = found(leaf, key)
    assert told == ["it has no subject alternative names, and clients look at nothing else; have it issued with them (H51)"]


def test_another_key_is_refused() -> None:
    leaf, _key = issued()
    assert found(leaf, make.new_key("ecdsa-p256"))[0].startswith("the key does not belong to the certificate; ")


@pytest.mark.parametrize(("days", "told"), [(-200, "it expired on "), (1, "it is valid from ")])
def test_times_are_refused(days: int, told: str) -> None:
    leaf, key = issued(issuer=authority("long", 3650 * DAY, NOW - 300 * DAY), when=NOW + days * DAY)
    assert [text for text in found(leaf, key, roots=[authority("long", 3650 * DAY, NOW - 300 * DAY).certificate]) if text.startswith(told)]


def test_missing_names_are_named() -> None:
    leaf, key = issued(WISH._replace(names=NAMES[:1]))
    assert found(leaf, key) == ["it is not valid for *.redis.svc, 10.0.0.7, URI:spiffe://fleet/service; have it issued with every name in subject_alt_names"]


def test_a_server_with_uris_alone_is_refused() -> None:
    leaf, key = issued(WISH._replace(names=NAMES[-1:]))
    assert found(leaf, key, names=()) == ["it has only URIs as names, and clients look for a host's name or address; have it issued with these (H51)"]
    assert found(leaf, key, names=(), usages=["client"]) == []


@pytest.mark.parametrize(("name", "begins"), [("", "CN=exalt.caching authority "), ("shop authority", "CN=shop authority "), ("x" * 64, f"CN={'x' * 55} ")])
def test_an_authority_is_called_as_declared_and_by_its_key(name: str, begins: str) -> None:
    certificate, _key = make.authority("", 3650 * DAY, [], NOW, name)
    subject = model.facts(certificate).subject
    assert subject.startswith(begins) and len(subject.removeprefix("CN=")) <= 64 and len(subject) - len(begins) == 8


def test_usages_are_refused() -> None:
    leaf, key = issued(WISH._replace(usages=frozenset(["server"])))
    assert found(leaf, key) == ["it may not be used as client (extended key usage); have it issued for that, or declare other usages"]
    assert found(leaf, key, usages=["server"]) == []
    assert "unsuitable" in shaken([leaf], key, [authority().certificate]), "a peer in the cluster bus would refuse it"


def test_an_authority_is_no_leaf() -> None:
    certificate, key = authority().certificate, authority().key
    assert any("the certificate of an authority" in text for text in found(certificate, key))


def test_weak_ones_are_refused() -> None:
    issuer = authority()
    san = (x509.SubjectAlternativeName([x509.DNSName("caching-service")]), False)
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    leaf, key = built(san, issuer=issuer, key=short)
    assert "its key rsa-1024 is too short; make one of 2048 bits or more" in found(leaf, key, names=NAMES[:1])
    leaf, key = built(san, (make._usage("key_agreement"), True), issuer=issuer)
    assert any("key usage does not allow signatures" in text for text in found(leaf, key, names=NAMES[:1]))


@pytest.mark.hazard("H54")
def test_an_untrusted_authority_is_named() -> None:
    leaf, key = issued(issuer=authority("new"))
    subject = model.facts(authority("new").certificate).subject
    assert found(leaf, key) == [f"its issuer '{subject}' is neither in chain_content nor trusted; give the chain and the root"]
    assert found(leaf, key, [authority("new").certificate]) == [
        f"it ends at '{subject}', which is not trusted; put that into trusted_certificates, or have it issued by a trusted authority"]
    assert found(leaf, key, roots=[authority().certificate, authority("new").certificate]) == []
    assert shaken([leaf], key, [authority().certificate]) and not shaken([leaf], key, [authority().certificate, authority("new").certificate])


def test_a_forged_issuer_is_no_issuer() -> None:
    """The same name, another key."""
    real = authority()
    key = make.new_key("ecdsa-p384")
    fake = make.Issuer(real.certificate, key, [])
    leaf, own = issued(issuer=fake)
    assert found(leaf, own)[0].startswith("its issuer ")


def intermediate(above: make.Issuer, length: int | None = 0, ca: bool = True, after: float = NOW + DAY, usage: str = "key_cert_sign") -> make.Issuer:
    key = make.new_key("ecdsa-p256")
    parts = [(x509.BasicConstraints(ca, length if ca else None), True), (make._usage(usage), True),
             (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
             (x509.AuthorityKeyIdentifier.from_issuer_public_key(above.certificate.public_key()), False)]
    certificate, _key = built(*parts, issuer=above, subject=f"between {id(key)}", key=key, before=after - 2 * DAY, after=after)
    return make.Issuer(certificate, key, [])


@functools.cache
def root(length: int | None = None) -> make.Issuer:
    key = make.new_key("ecdsa-p384")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"root {length}")])
    itself = t.cast("make.Issuer", type("Itself", (), {"certificate": type("Named", (), {"subject": name}), "key": key}))
    parts = [(x509.BasicConstraints(True, length), True), (make._usage("key_cert_sign"), True),
             (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)]
    certificate, _key = built(*parts, issuer=itself, subject=f"root {length}", key=key)
    return make.Issuer(certificate, key, [])


def test_chains() -> None:
    between = intermediate(root())
    leaf, key = issued(issuer=between)
    good = verdict(leaf, key, [authority().certificate, between.certificate], [root().certificate], NAMES, BOTH, NOW)
    assert good.problems == [] and good.path == [leaf, between.certificate, root().certificate]
    assert shaken(good.path[:-1], key, [root().certificate]) == ""
    assert found(leaf, key, [], [root().certificate])[0].startswith("its issuer ")


BROKEN: dict[str, tuple[t.Callable[[], tuple[make.Issuer, make.Issuer]], str]] = {
    "expired": (lambda: (intermediate(root(), after=NOW - 60), root()), "expired on"),
    "no-authority": (lambda: (intermediate(root(), ca=False), root()), "is no authority"),
    "may-not-sign": (lambda: (intermediate(root(), usage="digital_signature"), root()), "is no authority"),
    "too-long": (lambda: (intermediate(root(0)), root(0)), "may have 0 authorities below it, and has 1"),
}


@pytest.mark.parametrize(("make_it", "told"), BROKEN.values(), ids=BROKEN)
def test_chains_that_clients_refuse(make_it: t.Callable[[], tuple[make.Issuer, make.Issuer]], told: str) -> None:
    between, top = make_it()
    leaf, key = issued(issuer=between)
    problems = found(leaf, key, [between.certificate], [top.certificate])
    assert problems[-1].startswith("its chain is not good: ") and told in problems[-1]
    assert shaken([leaf, between.certificate], key, [top.certificate]), "OpenSSL says the same"


def test_name_constraints_hold() -> None:
    narrow = authority("narrow", limits=("redis.svc",))
    leaf, key = issued(issuer=narrow)
    problems = found(leaf, key, roots=[narrow.certificate])
    assert problems == [f"its chain is not good: '{model.facts(narrow.certificate).subject}' may not sign for caching-service (name constraints)"]
    assert "permitted subtree" in shaken([leaf], key, [narrow.certificate])


def test_what_others_make_without_identifiers_is_found_by_the_handshake() -> None:
    """The checks let it pass, strict clients don't (hazard of reliability 3)."""
    leaf, key = built((x509.SubjectAlternativeName([x509.DNSName("caching-service")]), False), issuer=authority())
    assert found(leaf, key, names=NAMES[:1]) == []
    assert shaken([leaf], key, [authority().certificate], ["caching-service"]).startswith("Missing Authority Key Identifier")


# ---- what can't be read


LEAF, KEY = issued()
KEY_TEXT = model.key_pem(KEY).decode()
BAD_CERTIFICATES = {
    "empty": "", "text": "hello", "cut": model.pem([LEAF]).decode()[:-120], "key": KEY_TEXT, "both": model.pem([LEAF]).decode() + KEY_TEXT,
    "damaged": model.pem([LEAF]).decode().replace("MII", "AII", 1), "binary": "\0\1", "long": "-----BEGIN CERTIFICATE-----\n" + "A" * (1 << 20),
}


@pytest.mark.parametrize("text", BAD_CERTIFICATES.values(), ids=BAD_CERTIFICATES)
def test_certificates_that_can_not_be_read(text: str) -> None:
    with pytest.raises(CachingError, match="^certificate_content: it ") as told:
        model.certificates(text, "certificate_content")
    assert "\n" not in told.value.message and len(told.value.message) < 250


ENCRYPTED = model.key_pem(KEY, "correct horse").decode()
OTHER = ed448.Ed448PrivateKey.generate().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
BAD_KEYS = {
    "empty": ("", None, "holds no private key"), "certificate": (model.pem([LEAF]).decode(), None, "holds no private key"),
    "cut": (KEY_TEXT[:-80], None, "was it cut off"),
    "encrypted": (ENCRYPTED, None, "encrypted; give its passphrase"), "wrong": (ENCRYPTED, "other", "the passphrase is wrong"),
    "kind": (OTHER, None, "is not supported"),
}


@pytest.mark.parametrize(("text", "phrase", "told"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_keys_that_can_not_be_read(text: str, phrase: str | None, told: str) -> None:
    with pytest.raises(CachingError, match="^key_content: ") as error:
        model.private_key(text, "key_content", phrase)
    assert told in error.value.message and "\n" not in error.value.message
    assert not any(line in error.value.message for line in text.splitlines() if len(line) > 30), "a key is never quoted"


def test_keys_that_can() -> None:
    assert model.same_key(model.private_key(ENCRYPTED, "k", "correct horse").public_key(), LEAF.public_key())
    assert model.same_key(model.private_key(KEY_TEXT, "k", "not needed").public_key(), LEAF.public_key())


@pytest.mark.parametrize("text", ["", "x", KEY_TEXT, make.request(WISH, KEY).decode()[:-60]])
def test_requests_that_can_not_be_read(text: str) -> None:
    with pytest.raises(CachingError, match="^csr_content: it can't be read"):
        model.signing_request(text, "csr_content")
