# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Security endpoints tell of real requests and of the certificate that is really served."""

from __future__ import annotations

import hashlib
import ssl
from typing import Any

from tests.contract.conftest import REGIONS, TOKENS, Api, Start
from tests.harness.targets import Fleet

SECURITY = "/admin/security"


def test_auth_events(member: Start) -> None:
    _process, api = member()
    assert api.done("GET", f"{SECURITY}/auth-events")["events"][:-1] == []
    api("GET", REGIONS, token="api")
    api("GET", REGIONS, token="wrong-secret")
    api("GET", REGIONS, token="")
    api("POST", REGIONS, {}, token="api")
    body = api.done("GET", f"{SECURITY}/auth-events")
    told = [(event["principal"], event["method"], event["path"], event["success"], event["reason"])
            for event in body["events"]]
    refused = "Full authentication is required to access this resource"
    assert told[1:-1] == [
        ("api", "GET", REGIONS, True, None), ("unknown", "GET", REGIONS, False, refused),
        ("anonymous", "GET", REGIONS, False, refused), ("api", "POST", REGIONS, False, "Access Denied"),
    ]
    assert "wrong-secret" not in str(body)


def test_access_patterns_have_a_risk(member: Start) -> None:
    _process, api = member()
    for _request in range(6):
        api("GET", f"{REGIONS}/products/stats", token="wrong")
    api("DELETE", f"{REGIONS}/products", token="api")
    api.regions()
    rows = api.done("GET", f"{SECURITY}/access-patterns")["patterns"]
    found = {(row["principal"], row["method"]): row for row in rows}
    risks = {key: row["risk_level"] for key, row in found.items()}
    assert risks == {("unknown", "GET"): "high", ("api", "DELETE"): "medium", ("admin", "GET"): "low"}
    assert (found["unknown", "GET"]["requests"], found["unknown", "GET"]["denied"]) == (6, 6)
    assert found["unknown", "GET"]["path"] == f"{REGIONS}/{{region}}/stats"


def test_use_of_the_tokens(member: Start) -> None:
    _process, api = member()
    for _request in range(3):
        api("GET", REGIONS, token="api")
    rows: dict[str, Any] = {row["name"]: row for row in api.done("GET", f"{SECURITY}/api-keys/usage")["keys"]}
    assert rows.keys() == TOKENS.keys()
    assert (rows["api"]["requests"], rows["api"]["denied"], rows["monitor"]["lastUsed"]) == (3, 0, None)
    assert rows["api"]["fingerprint"] == hashlib.sha256(b"api").hexdigest()[:16]


def test_tls_status_is_what_is_served(fleet: Fleet, member: Start) -> None:
    instance = fleet.facts["instances"][0]
    status = Api(instance["management_url"], fleet.tokens).done("GET", f"{SECURITY}/tls-status")
    host, _colon, port = instance["tls_url"].removeprefix("https://").partition(":")
    served = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port))))
    assert (status["enabled"], status["port"], status["protocol"]) == (True, 8443, "TLSv1.3")
    assert status["certificate"]["fingerprint"] == hashlib.sha256(served).hexdigest()
    assert status["certificate"]["daysRemaining"] > 0
    assert host in status["certificate"]["subjectAlternativeNames"]
    assert member()[1].done("GET", f"{SECURITY}/tls-status")["enabled"] is False


def test_encryption_status_is_honest(api: Api) -> None:
    api.region("secret", enableEncryption=True)
    api.region("open")
    status = api.done("GET", f"{SECURITY}/encryption-status")
    assert status["atRest"] == {"enabled": False, "algorithm": None, "requestedFor": ["secret"], "effectiveFor": []}
    assert status["inTransit"] == {"service": False, "redis": False}
