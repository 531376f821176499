# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""TLS to Redis: what a connection is made with, which certificate a node serves, and what a refusal means.

One context for all connections of a run. The client library makes one for each, which takes 30 ms as it reads the system's authorities
every time, trusts these beside the given ones, and before its version 6 does not compare names.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import ssl
import typing as t

from ._errors import CachingError, one_line

_PLACE = re.compile(r"\s*\(_ssl\.c:\d+\)\.?")
_FILES = ("redis_ca_path", "redis_client_cert", "redis_client_key")
_ALERT = "alert "   # a refusal by the other side, in OpenSSL's words
# What the module finds wrong with the certificate of a node, and what to do about it. Words of OpenSSL, the first that fits counts.
_VERIFY = (
    ("certificate has expired", "its certificate has expired: renew it, and let the node read it again (redis_config, reload)"),
    ("not yet valid", "its certificate is not valid yet: compare the clocks of both hosts"),
    ("ip address mismatch", "its certificate is not for this address: issue one with it as a subjectAltName"),
    ("hostname mismatch", "its certificate is not for this name: issue one with it as a subjectAltName"),
    ("self-signed certificate", "its certificate is not of an authority that is trusted here: put that authority into redis_ca_path"),
    ("unable to get", "its certificate is not of an authority that is trusted here: put that authority into redis_ca_path"),
    ("missing authority key identifier", "its certificate lacks the authority key identifier: issue one that has it"),
    ("", "its certificate was refused"),
)
# What the node finds wrong with the certificate of the module.
_REFUSED = (
    ("certificate required", "it wants a client certificate: give redis_client_cert and redis_client_key"),
    ("unknown ca", "it does not trust the authority of the client certificate: give one of an authority in its tls-ca-cert-file"),
    ("certificate expired", "the client certificate has expired: renew redis_client_cert"),
    ("certificate", "it refuses the client certificate: redis_client_cert has to be valid now, and for clients (extendedKeyUsage)"),
    ("decrypt error", "it refuses the client certificate: redis_client_cert has to be of an authority in its tls-ca-cert-file"),
    ("", "it refuses the handshake (tls-protocols, tls-ciphers of the node?)"),
)
_SILENT = "no answer to the TLS handshake"   # a plain Redis waits for the end of what it takes for a command
_NO_TLS = (_SILENT.lower(), "wrong version number", "record layer failure", "packet length too long", "unknown protocol", "http request")
_CUT = ("reset by peer", "closed by server", "eof occurred", "broken pipe", "unexpected eof", "closed the connection")


def context(params: t.Mapping[str, t.Any]) -> ssl.SSLContext | None:
    """What connections are made with, or None where they are plain. Its files are checked here, with their names."""
    if not params.get("redis_tls"):
        return None
    authorities, certificate, key = (params.get(option) for option in _FILES)
    for option in _FILES:
        if params.get(option) and not os.path.exists(params[option]):
            raise CachingError(f"{option}: there is no file {params[option]} on the host where this module runs")
    if key and not certificate:
        raise CachingError("redis_client_key: it is the key of redis_client_cert, which is not given")
    try:
        found = ssl.create_default_context(cafile=authorities)
    except (OSError, ValueError) as error:
        raise CachingError(f"redis_ca_path: {authorities} can't be read as certificates (PEM): {reason(error)}") from None
    if certificate:
        try:
            found.load_cert_chain(certificate, key, password=_passphrase)
        except (OSError, ValueError) as error:
            raise CachingError(f"redis_client_cert, redis_client_key: {_unusable(reason(error), certificate, key)}") from None
    return found


def _passphrase() -> str:
    """Asked for where a key is encrypted; without this, OpenSSL asks on the terminal."""
    raise ValueError("it needs a passphrase")


def _unusable(told: str, certificate: str, key: str | None) -> str:
    where = key or certificate
    if "values mismatch" in told.lower():
        return f"{where} is not the key of {certificate}"
    if "passphrase" in told:
        return f"the key in {where} is encrypted: give one without a passphrase"
    return f"{certificate} with the key in {where} can't be read (PEM): {told}"


def reason(error: object) -> str:
    """What went wrong, without the place in the source of the library."""
    return _PLACE.sub("", one_line(getattr(error, "strerror", None) or error, 200)).strip()


def meaning(text: str, secure: bool, certificate: bool) -> str:
    """What the error of a connection means and what helps, or nothing where it has nothing to do with TLS.

    ``secure``: it was tried by TLS. ``certificate``: with a client certificate.
    """
    lower = text.lower()
    cut = any(words in lower for words in _CUT)
    if not secure:
        return "it may speak TLS: redis_tls" if cut else ""
    if "certificate verify failed" in lower:
        return next(help_ for words, help_ in _VERIFY if words in lower)
    if any(words in lower for words in _NO_TLS):
        return "it does not speak TLS on this port: give its tls-port, or set redis_tls to false"
    if _ALERT in lower or "alert_" in lower:
        plain = lower.replace("_", " ")
        if not certificate and "handshake failure" in plain:   # how TLS 1.2 says that one is required
            plain = _REFUSED[0][0]
        return next(help_ for words, help_ in _REFUSED if words in plain)
    if cut and not certificate:  # it answers the handshake before it looks whether a certificate came, and then closes
        return "it may want a client certificate: redis_client_cert and redis_client_key"
    return "it may refuse the client certificate (redis_client_cert), or not speak TLS on this port" if cut else ""


def looking(params: t.Mapping[str, t.Any]) -> ssl.SSLContext:
    """For :func:`served`: it trusts nothing and refuses nothing. Without the client certificate some nodes end the handshake."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    if params.get("redis_client_cert"):
        found.load_cert_chain(params["redis_client_cert"], params.get("redis_client_key"), password=_passphrase)
    return found


def secured(wire: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """The connection after its handshake; closed where that fails."""
    try:
        return context.wrap_socket(wire, server_hostname=host)
    except TimeoutError:
        wire.close()
        raise ssl.SSLError(_SILENT) from None
    except BaseException:
        wire.close()
        raise


def served(host: str, port: int, timeout: float, look: ssl.SSLContext) -> str:
    """SHA-256 of the certificate that a new handshake with this node shows, be it one that has expired."""
    with secured(socket.create_connection((host, port), timeout), host, look) as secure:
        return hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()


def fingerprint(text: str, option: str) -> str:
    """A SHA-256 fingerprint in the form of :func:`served`: any case, with or without colons."""
    found = re.sub(r"^sha-?256[:=]|[:\s]", "", text.strip().lower())
    if not re.fullmatch("[0-9a-f]{64}", found):
        raise CachingError(f"{option}: {one_line(repr(text), 80)} is no SHA-256 fingerprint (64 hexadecimal digits)")
    return found
