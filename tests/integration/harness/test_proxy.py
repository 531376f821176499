# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Positive controls: what the recording proxy must see is seen, and what it must break is broken."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
import urllib3

from tests.harness.targets import FleetProxy, Service

NEW = {"name": "planted", "defaultTtl": "PT1H", "maxSize": 10, "evictionPolicy": "LRU"}
REGIONS = "/api/v1/cache/regions"


def call(service: Service, method: str, path: str = REGIONS, body: object = None,
         role: str = "admin") -> urllib3.BaseHTTPResponse:
    headers = {"Authorization": f"Bearer {service.tokens[role]}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(5)) as pool:
        return pool.request(method, service.url + path, body=data, headers=headers)


@pytest.fixture
def plain(service: Callable[..., Service]) -> Service:
    return service()


def test_a_planted_write_is_seen(plain: Service) -> None:
    assert plain.proxy.writes() == []
    assert call(plain, "POST", body=NEW).status == 201
    assert call(plain, "GET", role="api").status == 200
    (write,) = plain.proxy.writes()
    assert (write["method"], write["path"], write["status"], write["token"]) == ("POST", REGIONS, 201, "admin")
    assert write["bytes"] == len(json.dumps(NEW)) and write["upstream"] == plain.direct_url
    assert plain.proxy.calls() == [f"POST {REGIONS}", f"GET {REGIONS}"]


def test_tokens_are_never_kept(plain: Service) -> None:
    canary = "canary-9f2c"
    with urllib3.PoolManager(retries=False) as pool:
        assert pool.request("GET", plain.url + REGIONS, headers={"Authorization": f"Bearer {canary}"}).status == 401
    call(plain, "GET", role="api")
    text = json.dumps(plain.proxy.records())
    assert canary not in text and not any(token in text for token in plain.tokens.values())
    assert [record["token"] for record in plain.proxy.records()][1:] == ["api"]


def test_records_carry_the_label_and_the_query(plain: Service, request: pytest.FixtureRequest) -> None:
    call(plain, "GET", REGIONS + "?page=2")
    assert [record["query"] for record in plain.proxy.records(request.node.nodeid)] == ["page=2"]
    plain.proxy.label("another")
    call(plain, "GET")
    assert len(plain.proxy.records("another")) == 1 and len(plain.proxy.records()) == 2
    plain.proxy.label(request.node.nodeid)


def test_connections_are_kept(plain: Service) -> None:
    with urllib3.PoolManager(retries=False) as pool:
        for _round in range(5):
            pool.request("GET", plain.url + "/actuator/health")
    assert len({record["connection"] for record in plain.proxy.records()}) == 1


@pytest.mark.parametrize(("fault", "status", "text"), [
    ({"status": 503, "retry_after": 2, "body": '{"message": "busy"}'}, 503, b"busy"),
    ({"status": 429, "headers": {"Retry-After": "1"}}, 429, b""),
    ({"html502": True}, 502, b"<html>"),
    ({"status": 200, "body_base64": "/w=="}, 200, b"\xff"),
])
def test_a_planted_answer_is_given(plain: Service, fault: dict[str, object], status: int, text: bytes) -> None:
    plain.proxy.break_with({"method": "GET", "path": "/regions$", "first": 1, **fault})
    answer = call(plain, "GET")
    assert answer.status == status and text in answer.data
    assert ("Retry-After" in answer.headers) == (status in (429, 503))
    assert call(plain, "GET").status == 200
    assert plain.proxy.delivered() == [1]
    assert [record["status"] for record in plain.proxy.records()] == [status, 200]


@pytest.mark.parametrize("fault", [{"reset": True}, {"cut": 1}])
def test_a_planted_break_is_delivered(plain: Service, fault: dict[str, object]) -> None:
    plain.proxy.break_with({"nth": 2, **fault})
    assert call(plain, "GET").status == 200
    with pytest.raises(urllib3.exceptions.ProtocolError):
        call(plain, "GET")
    assert call(plain, "GET").status == 200 and plain.proxy.delivered() == [1]


def test_a_freeze_and_a_delay_are_delivered(plain: Service) -> None:
    plain.proxy.break_with({"freeze": True, "first": 1}, {"delay": 0.3})
    with urllib3.PoolManager(retries=False) as pool, pytest.raises(urllib3.exceptions.ReadTimeoutError):
        pool.request("GET", plain.url + "/actuator/health", timeout=0.3)
    started = time.monotonic()
    assert call(plain, "GET").status == 200
    assert time.monotonic() - started >= 0.3 and plain.proxy.delivered() == [1, 1]


def test_an_answer_is_lost_after_the_work_was_done(plain: Service) -> None:
    plain.proxy.break_with({"method": "POST", "reset": True, "forward": True})
    with pytest.raises(urllib3.exceptions.ProtocolError):
        call(plain, "POST", body=NEW)
    plain.proxy.break_with()
    assert b"planted" in call(plain, "GET").data


def test_probability_is_the_same_for_the_same_seed(plain: Service) -> None:
    runs = []
    for _round in range(2):
        plain.proxy.break_with({"status": 503, "probability": 0.5, "seed": 7})
        runs.append([call(plain, "GET").status for _round in range(12)])
    assert runs[0] == runs[1] and set(runs[0]) == {200, 503}


def test_an_unknown_fault_is_refused(plain: Service) -> None:
    with pytest.raises(ValueError, match="unknown in a fault: cutt"):
        plain.proxy.break_with({"cutt": 3})


def test_a_service_that_is_gone_resets(plain: Service) -> None:
    plain.kill()
    with pytest.raises(urllib3.exceptions.ProtocolError):
        call(plain, "GET")
    assert [record["status"] for record in plain.proxy.records()] == [0]


def test_the_fleet_is_seen_on_every_port(proxies: FleetProxy) -> None:
    with urllib3.PoolManager(retries=False, ca_certs=proxies.fleet.facts["ca_path"]) as pool:
        for instance in proxies.instances:
            assert pool.request("GET", instance["management_url"] + "/actuator/health").status == 200
            assert pool.request("GET", instance["tls_url"] + "/actuator/health").status == 200
        for _round in range(3):
            pool.request("GET", proxies.proxy.url + "/actuator/health")
    records = proxies.proxy.records()
    assert [record["tls"] for record in records] == [False, True] * 3 + [False] * 3
    assert {record["upstream"] for record in records[6:]} == {one["url"] for one in proxies.fleet.facts["instances"]}
