# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health follows the real parts."""

from __future__ import annotations

import json
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.contract.conftest import REGIONS, TOKENS, Api, Start, wait_until
from tests.harness import process
from tests.harness.targets import Fleet

HEALTH = "/actuator/health"


@pytest.mark.parametrize("part", ["", "/liveness", "/readiness", "/redis", "/database", "/diskSpace"])
def test_up_without_a_token(api: Api, part: str) -> None:
    answer = api("GET", HEALTH + part, token="")
    assert (answer.status, answer.body["status"]) == (200, "UP")
    if not part:
        assert answer.body["components"].keys() >= {"redis", "database", "diskSpace"}


def test_redis_out_of_reach(start: Start) -> None:
    _process, api = start("--redis", f"127.0.0.1:{process.free_port()}")
    began = time.monotonic()
    answer = api("GET", HEALTH)
    assert (answer.status, answer.body["status"]) == (503, "DOWN")
    states = {name: component["status"] for name, component in answer.body["components"].items()}
    assert states == {
        "redis": "DOWN", "database": "UP", "diskSpace": "UP", "livenessState": "UP", "readinessState": "UP",
    }
    for path in (REGIONS, f"{REGIONS}/products/keys/k", f"{REGIONS}/products/stats"):
        refused = api("GET", path)
        assert (refused.status, refused.body["error"]) == (503, "Service Unavailable")
    assert api("POST", REGIONS, {"name": "products"}).status == 503
    assert time.monotonic() - began < 5 * 3
    assert api("GET", f"{HEALTH}/liveness").status == 200


def test_wrong_password(fleet: Fleet, start: Start) -> None:
    _process, api = start("--redis", fleet.facts["redis_nodes"][0], password="wrong")
    assert api("GET", f"{HEALTH}/redis").status == 503
    answer = api("GET", REGIONS)
    assert answer.status == 503
    assert "wrong" not in answer.body["message"].replace("wrong number", "").replace("WRONGPASS", "")


def test_database_that_is_none(fleet: Fleet, start: Start, tmp_path: Path) -> None:
    database = tmp_path / "caching.db"
    _process, api = start(
        "--redis", ",".join(fleet.facts["redis_nodes"]), "--database", str(database),
        password=fleet.state.secret("redis_password"),
    )
    assert api("GET", HEALTH).status == 200
    database.write_text("this is no database, " * 100)
    answer = api("GET", HEALTH)
    assert (answer.status, answer.body["components"]["database"]["status"]) == (503, "DOWN")
    assert answer.body["components"]["redis"]["status"] == "UP"


def test_out_of_service_before_it_stops(fleet: Fleet, start: Start) -> None:
    running, api = start(
        "--redis", ",".join(fleet.facts["redis_nodes"]), "--drain", "1.5",
        password=fleet.state.secret("redis_password"),
    )
    assert api("GET", f"{HEALTH}/readiness").status == 200
    running.terminate()
    assert wait_until(lambda: api("GET", f"{HEALTH}/readiness").status == 503, 1.0)
    answer = api("GET", HEALTH)
    assert (answer.status, answer.body["status"]) == (503, "OUT_OF_SERVICE")
    assert api("GET", REGIONS).status == 200
    assert running.wait(10) == 0


def test_a_port_in_use_is_one_clear_line(start: Start) -> None:
    _process, api = start()
    port = api.url.rpartition(":")[2]
    second = process.start(
        "tests.fleet.service", ["--port", port, "--management-port", "0"],
        {f"{role.upper()}_TOKEN": token for role, token in TOKENS.items()}, stderr=subprocess.PIPE,
    )
    _out, text = second.communicate(timeout=10)
    assert second.returncode == 2
    assert text.strip() == f"caching-service: can't listen on 127.0.0.1:{port}: Address already in use"


def test_ports_of_the_fleet(fleet: Fleet) -> None:
    """8403 has no metrics, 8404 has no regions, 8443 speaks TLS with a certificate of the fleet's own CA."""
    instance = fleet.facts["instances"][0]
    data, management = Api(instance["url"], fleet.tokens), Api(instance["management_url"], fleet.tokens)
    assert data("GET", "/actuator/metrics/cache.gets").status == 404
    assert management("GET", "/actuator/metrics/cache.gets", token="monitor").status == 200
    assert management("GET", REGIONS).status == 404
    assert management("GET", HEALTH).status == data("GET", HEALTH).status == 200
    context = ssl.create_default_context(cafile=fleet.facts["ca_path"])
    with urllib.request.urlopen(instance["tls_url"] + HEALTH, context=context, timeout=5) as answer:
        assert json.load(answer)["status"] == "UP"
