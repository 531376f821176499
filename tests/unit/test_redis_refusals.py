# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer of a node that speaks TLS, or wants a certificate, is told as; and files for TLS that can't be used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _redis_tls
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._redis import Redis
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key

from tests.fleet.certificates import Authority

CUT = "Error while reading from 10.0.0.1:6379 : (104, 'Connection reset by peer')"
NO = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
WANTS = "it may want a client certificate: redis_client_cert and redis_client_key"


@pytest.mark.parametrize("text, tls, certificate, hint", [
    (CUT, False, False, "it may speak TLS: redis_tls"),
    (CUT, True, True, "it may refuse the client certificate (redis_client_cert), or not speak TLS on this port"),
    (CUT, True, False, WANTS),
    ("(1, '[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required')", True, False, "it wants a client certificate: give "),
    ("[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert handshake failure", True, False, "it wants a client certificate: give "),
    ("[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert handshake failure", True, True, "it refuses the handshake"),
    ("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca", True, True, "it does not trust the authority of the client certificate"),
    ("[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired", True, True, "the client certificate has expired"),
    ("[SSL: SSLV3_ALERT_BAD_CERTIFICATE] sslv3 alert bad certificate", True, True, "it refuses the client certificate"),
    (NO + "self-signed certificate in certificate chain", True, True, "put that authority into redis_ca_path"),
    (NO + "unable to get local issuer certificate", True, True, "put that authority into redis_ca_path"),
    (NO + "certificate has expired", True, True, "its certificate has expired"),
    (NO + "certificate is not yet valid", True, True, "compare the clocks"),
    (NO + "IP address mismatch, certificate is not valid for '10.0.0.1'.", True, True, "not for this address"),
    (NO + "Hostname mismatch, certificate is not valid for 'redis-1'.", True, True, "not for this name"),
    (NO + "something new", True, True, "its certificate was refused"),
    ("[SSL: WRONG_VERSION_NUMBER] wrong version number", True, True, "it does not speak TLS on this port"),
    ("Connection refused", False, False, ""), ("Connection refused", True, True, ""),
])
def test_what_a_node_wants_is_guessed_from_how_it_refuses(tmp_path: Path, text: str, tls: bool, certificate: bool, hint: str) -> None:
    Authority("tests").supply(tmp_path, "client", "client")
    given = {"redis_nodes": ["10.0.0.1:6379"], "redis_tls": tls, "redis_ca_path": str(tmp_path / "ca.crt")}
    if certificate:
        given |= {"redis_client_cert": str(tmp_path / "tls.crt"), "redis_client_key": str(tmp_path / "tls.key")}
    told = Redis(given).refusal_at("10.0.0.1:6379", OSError(f"{text} (_ssl.c:2580)")).message
    assert told.startswith(f"Redis at 10.0.0.1:6379 can't be read: {text}") and "_ssl.c" not in told
    assert hint in told if hint else told.endswith(text)


@pytest.mark.parametrize("text", [
    "WRONGPASS invalid username-password pair or user is disabled.", "invalid username-password pair or user is disabled.", "invalid password",
    "NOAUTH Authentication required.", "Authentication required.",
])
def test_who_is_not_let_in_is_told_so(text: str) -> None:
    told = Redis({"redis_nodes": ["10.0.0.1:6379"]}).refusal_at("10.0.0.1:6379", OSError(text)).message
    assert told == "Redis at 10.0.0.1:6379 does not accept the user or password: set redis_username and redis_password"


def test_a_node_without_a_password_is_told_otherwise() -> None:
    text = "AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
    told = Redis({"redis_nodes": ["10.0.0.1:6379"]}).refusal_at("10.0.0.1:6379", OSError(text)).message
    assert "does not accept" not in told and "without any password configured" in told


def test_files_that_can_not_be_used_are_named(tmp_path: Path) -> None:
    authority = Authority("tests")
    authority.supply(tmp_path, "client", "client")
    authority.supply(tmp_path / "other", "client", "client")
    good = {"redis_tls": True, "redis_ca_path": str(tmp_path / "ca.crt"), "redis_client_cert": str(tmp_path / "tls.crt"),
            "redis_client_key": str(tmp_path / "tls.key")}
    locked = load_pem_private_key((tmp_path / "tls.key").read_bytes(), None)
    (tmp_path / "locked").write_bytes(locked.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"canary")))
    (tmp_path / "text").write_text("nothing")
    assert _redis_tls.context(good) and not _redis_tls.context({**good, "redis_tls": False})
    for bad, told in (
        ({"redis_ca_path": "/nonesuch"}, "redis_ca_path: there is no file /nonesuch on the host"),
        ({"redis_ca_path": str(tmp_path / "text")}, "redis_ca_path: .*/text can't be read as certificates"),
        ({"redis_client_key": str(tmp_path / "other/tls.key")}, "other/tls.key is not the key of .*/tls.crt$"),
        ({"redis_client_key": str(tmp_path / "locked")}, "the key in .*/locked is encrypted: give one without a passphrase$"),
        ({"redis_client_cert": str(tmp_path / "text")}, r"redis_client_cert, redis_client_key: .*/text with the key .* can't be read \(PEM\)"),
        ({"redis_client_cert": None}, "redis_client_key: it is the key of redis_client_cert, which is not given"),
    ):
        with pytest.raises(CachingError) as refused:
            _redis_tls.context({**good, **bad})
        assert re.search(told, refused.value.message) and "\n" not in refused.value.message, refused.value.message


def test_only_the_given_authorities_are_trusted(tmp_path: Path) -> None:
    """The client library trusts those of the system beside them."""
    Authority("tests").supply(tmp_path, "client", "client")
    context = _redis_tls.context({"redis_tls": True, "redis_ca_path": str(tmp_path / "ca.crt")})
    assert context and len(context.get_ca_certs()) == 1 and context.check_hostname


def test_fingerprints_are_compared_in_one_form() -> None:
    plain = "ab" * 32
    for form in (plain, plain.upper(), ":".join(["AB"] * 32), f"sha256:{plain}", f"SHA256={':'.join(['ab'] * 32)}"):
        assert _redis_tls.fingerprint(form, "served") == plain
    for wrong in ("", "ab" * 20, "xy" * 32):
        with pytest.raises(CachingError, match="^served: .* is no SHA-256 fingerprint"):
            _redis_tls.fingerprint(wrong, "served")
