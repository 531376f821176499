# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Security as this process sees it: authentication, access, use of the tokens, TLS, encryption."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from datetime import datetime, timezone
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .errors import ApiError
from .web import Service


async def auth_events(service: Service, _request: Request) -> Response:
    return JSONResponse({"events": list(service.audit.events)})


async def access_patterns(service: Service, _request: Request) -> Response:
    rows = [
        {"principal": principal, "clientAddress": client, "method": method, "path": path,
         "requests": pattern.requests, "denied": pattern.denied, "firstSeen": pattern.first, "lastSeen": pattern.last,
         "risk_level": pattern.risk}
        for (principal, client, method, path), pattern in service.audit.patterns.items()
    ]
    return JSONResponse({"patterns": rows})


async def key_usage(service: Service, _request: Request) -> Response:
    """The three tokens by role; a fingerprint tells whether a token was changed, and is no secret."""
    rows = []
    for token, role in service.settings.tokens.items():
        use = service.audit.keys.get(role)
        rows.append({
            "name": role, "fingerprint": hashlib.sha256(token.encode()).hexdigest()[:16],
            "requests": use.requests if use else 0, "denied": use.denied if use else 0,
            "lastUsed": use.last if use else None,
        })
    return JSONResponse({"keys": sorted(rows, key=lambda row: str(row["name"]))})


def _served(host: str, port: int) -> dict[str, Any]:
    """The certificate that the TLS port really serves, and the protocol it agrees on."""
    import socket

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is looked at, not trusted
    with socket.create_connection((host, port), timeout=3) as plain, context.wrap_socket(plain) as secure:
        protocol, cipher, data = secure.version(), secure.cipher(), secure.getpeercert(binary_form=True)
    certificate = x509.load_der_x509_certificate(data or b"")
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        subjects = [str(name.value) for name in names]
    except x509.ExtensionNotFound:
        subjects = []
    left = certificate.not_valid_after_utc - datetime.now(timezone.utc)
    return {
        "protocol": protocol,
        "cipher": cipher[0] if cipher else None,
        "certificate": {
            "subject": certificate.subject.rfc4514_string(),
            "issuer": certificate.issuer.rfc4514_string(),
            "serialNumber": f"{certificate.serial_number:x}",
            "notBefore": certificate.not_valid_before_utc.isoformat(),
            "notAfter": certificate.not_valid_after_utc.isoformat(),
            "daysRemaining": left.days,
            "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
            "subjectAlternativeNames": subjects,
        },
    }


async def tls_status(service: Service, _request: Request) -> Response:
    settings = service.settings
    if not settings.tls_port:
        return JSONResponse({"enabled": False, "port": None, "protocol": None, "cipher": None, "certificate": None})
    try:
        seen = await asyncio.to_thread(_served, settings.host, settings.tls_port)
    except OSError as error:
        raise ApiError(503, f"The TLS port doesn't answer: {error}") from error
    return JSONResponse({"enabled": True, "port": settings.tls_port, **seen})


async def encryption_status(service: Service, _request: Request) -> Response:
    """What regions ask for, and what they get: this service encrypts no entries, in Redis or on its own disk."""
    requested = [str(region["name"]) for region in await service.storage.known() if region["enableEncryption"]]
    return JSONResponse({
        "atRest": {"enabled": False, "algorithm": None, "requestedFor": requested, "effectiveFor": []},
        "inTransit": {"service": bool(service.settings.tls_port), "redis": service.redis.encrypted()},
    })
