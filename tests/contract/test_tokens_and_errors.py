# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what, and how the service says no."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
import yaml

from tests.contract.conftest import REGIONS, Answer, Api
from tests.fleet import paths
from tests.fleet.service import settings
from tests.fleet.service.routes import table
from tests.fleet.service.web import Route

ENVIRONMENT = {"API_TOKEN": "a", "MONITOR_TOKEN": "m", "ADMIN_TOKEN": "x"}
STANDARD = settings.load([], ENVIRONMENT)
assert STANDARD
ROUTES = table(STANDARD)
# What these do to a process can't be undone: they are tried on services of their own.
ONE_WAY = ("/admin/cache/flush-and-shutdown", "/admin/emergency/local-cache-mode")
GUARDED = [route for route in ROUTES if route.token]


def check_error(answer: Answer, status: int, path: str) -> str:
    """The body of an error is Spring Boot's; its message."""
    assert answer.status == status
    assert answer.body.keys() >= {"timestamp", "status", "error", "message", "path"}
    assert (answer.body["status"], answer.body["path"]) == (status, path)
    assert datetime.fromisoformat(answer.body["timestamp"]).tzinfo
    return str(answer.body["message"])


def _matches(path: str, wanted: str) -> bool:
    return re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)), wanted) is not None


def test_every_endpoint_of_the_guide() -> None:
    """Each call that the operations need has one endpoint, and there is no other but the description and a list."""
    operations = yaml.safe_load((paths.ROOT / "tests/operations.yml").read_text())["operations"]
    calls = {tuple(call.split("?")[0].split(" ")) for operation in operations if operation.get("port") != 8080
             for call in operation.get("calls", []) if operation["kind"] == "http"}
    used = set()
    for method, path in calls:
        fitting = [route for route in ROUTES if route.method == method and _matches(route.path, path)]
        assert len(fitting) == 1 or path in {route.path for route in fitting}, (method, path)
        used.add((method, next((one.path for one in fitting if one.path == path), fitting[0].path)))
    known = {(route.method, route.path) for route in ROUTES}
    assert known - used == {("GET", "/actuator/metrics"), ("GET", "/v3/api-docs")}
    assert len(known) == len(ROUTES)
    metrics = [path for _method, path in calls if path.startswith("/actuator/metrics/")]
    with_tls = 1
    assert len(used) - 1 + len(set(metrics)) + with_tls == 67
    assert {route.token for route in ROUTES} == {"", "api", "admin", "monitor"}


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.path}")
def test_tokens(standing: Api, route: Route) -> None:
    path = route.path.replace("{region}", "products").replace("{key}", "product:1").replace("{name}", "cache.gets")
    for token in ("", "unknown"):
        answer = standing(route.method, path, {}, token=token)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for token in {"api", "monitor"} - {route.token}:
        assert standing(route.method, path, {}, token=token).status == 403
    if route.path in ONE_WAY:
        return
    for token in sorted({route.token, "admin"}):
        assert standing(route.method, path, {}, token=token).status not in (401, 403)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{REGIONS}/absent/stats", 404),
        ("PUT", f"{REGIONS}/absent", 404),
        ("DELETE", f"{REGIONS}/absent", 404),
        ("PATCH", "/admin/cache/regions/absent", 404),
        ("DELETE", f"{REGIONS}/absent/clear", 404),
        ("GET", f"{REGIONS}/absent/keys/k", 404),
        ("DELETE", f"{REGIONS}/absent/keys/k", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/actuator/metrics/nothing", 404),
        ("POST", "/api/v1/cache/warm/absent", 404),
        ("DELETE", "/api/v1/cache/warm/absent", 404),
        ("PUT", "/admin/cache/warm/schedule/absent", 404),
        ("DELETE", "/admin/cache/warm/schedule/absent", 405),
        ("GET", "/admin/emergency/local-cache-mode", 405),
        ("DELETE", "/admin/emergency/local-cache-mode", 405),
    ],
)
def test_absent(standing: Api, method: str, path: str, status: int) -> None:
    assert check_error(standing(method, path, {}), status, path)


def test_single_region_has_no_get(standing: Api) -> None:
    answer = standing("GET", f"{REGIONS}/products")
    check_error(answer, 405, f"{REGIONS}/products")
    assert answer.headers["Allow"] == "DELETE, PUT"


def test_unknown_paths_say_nothing_without_a_token(standing: Api) -> None:
    check_error(standing("GET", "/api/v1/nothing", token=""), 401, "/api/v1/nothing")


@pytest.mark.parametrize("kind", ["", "application/x-www-form-urlencoded", "text/plain"])
def test_content_type_is_needed(api: Api, kind: str) -> None:
    api.region("products")
    check_error(api("PUT", f"{REGIONS}/products", {"maxSize": 75000}, kind=kind), 415, f"{REGIONS}/products")
    assert api.regions()["products"]["maxSize"] == 10000


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"name"'])
def test_broken_bodies(standing: Api, text: bytes) -> None:
    check_error(standing("POST", REGIONS, text=text), 400, REGIONS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "  "), ("name", None), ("name", 5), ("name", "a::b"), ("name", "a:"), ("name", "a\nb"),
        ("name", "a" * 256),
        ("defaultTtl", "2 hours"), ("defaultTtl", "PT0S"), ("defaultTtl", "-PT1H"), ("defaultTtl", "P1M"),
        ("defaultTtl", "PT"), ("defaultTtl", "P"), ("defaultTtl", ""), ("defaultTtl", True), ("defaultTtl", -1),
        ("maxSize", 0), ("maxSize", -5), ("maxSize", "many"), ("maxSize", 2**31), ("maxSize", 1.5), ("maxSize", True),
        ("evictionPolicy", "RANDOM"), ("evictionPolicy", 1),
        ("enableCompression", "yes"), ("enableEncryption", 1),
        ("description", 5), ("replicationFactor", 0),
    ],
)
def test_invalid_fields(standing: Api, field: str, value: object) -> None:
    before = standing.regions()
    answer = standing("POST", REGIONS, {"name": "products", field: value})
    check_error(answer, 400, REGIONS)
    assert [(error["field"], error["rejectedValue"]) for error in answer.body["errors"]] == [(field, value)]
    assert standing.regions() == before


def test_all_invalid_fields_are_named(standing: Api) -> None:
    answer = standing("POST", REGIONS, {"name": "", "maxSize": 0, "defaultTtl": "soon"})
    assert {error["field"] for error in answer.body["errors"]} == {"name", "maxSize", "defaultTtl"}
    assert "Error count: 3" in answer.body["message"]
