# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second local fleet with TLS on Redis: playbooks run on its inventory as on any, and its certificates can be replaced."""

from __future__ import annotations

import hashlib
import ssl
import typing as t
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import urllib3

from tests.fleet.certificates import Authority
from tests.fleet.local import layout
from tests.harness.modules import run_module
from tests.harness.plays import play
from tests.harness.second_fleet import SecondFleet, second_fleet
from tests.harness.sequence import accepted
from tests.harness.until import until

pytestmark = pytest.mark.slow
NETWORK = "127.0.8"


@pytest.fixture(scope="module")
def second(tmp_path_factory) -> Iterator[SecondFleet]:
    with second_fleet(tmp_path_factory.mktemp("fleet"), NETWORK) as fleet:
        yield fleet


@pytest.fixture
def known(second: SecondFleet) -> dict[str, t.Any]:
    return second.known


def secret(known: Mapping[str, t.Any], name: str) -> str:
    return Path(known["secrets"][name]).read_text().strip()


def served(address: str) -> str:
    host, _colon, port = address.rpartition("/")[2].rpartition(":")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port))))).hexdigest()


@pytest.mark.skipif(not layout.TLS, reason="it takes a minute: with EXALT_CACHING_TLS=1")
def test_playbooks_run_and_the_second_one_changes_nothing(known: dict[str, t.Any], tmp_path: Path) -> None:
    variables = {"caching_signing_key": "k", "caching_store_url": f"file://{tmp_path}", "caching_confirm": "local", "caching_restore_flush": True,
                 "caching_regions": [{"name": "products", "default_ttl": "PT2H"}]}
    done = play("site site backup restore_redis", known["inventory"], extra_vars=variables, timeout=600)
    assert done.rc == 0, done.stdout[-3000:]
    runs = [(run["playbook"], run["verdict"], bool(run["changes"])) for run in done.custom["exalt_caching_run"]]
    assert runs == [("site", "ok", True), ("site", "ok", False), ("backup", "ok", True), ("restore_redis", "ok", True)]
    headers = {"Authorization": f"Bearer {secret(known, 'admin_token')}"}
    for instance in known["instances"]:
        told = urllib3.request("GET", f"{instance['management_url']}/admin/security/encryption-status", headers=headers, retries=False).json()
        assert told["inTransit"] == {"service": True, "redis": True}


def test_certificates_of_every_member_are_replaced_while_it_runs(known: dict[str, t.Any]) -> None:
    """The folders of the members are where a rotation puts new ones; the service looks by itself, Redis is told."""
    authority, folders = Authority("", Path(known["authority"])), {name: Path(folder) for name, folder in known["certificates"].items()}
    assert sorted(folders) == [*(f"caching-service-{n}" for n in (1, 2, 3)), "operator", *(f"redis-{n}" for n in range(1, 7))]
    nodes = {f"redis-{number}": address for number, address in enumerate(known["redis_nodes"], 1)}
    instances = {one["name"]: one["tls_url"] for one in known["instances"]}
    before = {name: served(address) for name, address in {**nodes, **instances}.items()}
    new = {}
    for name, folder in folders.items():
        host = {**nodes, **instances}.get(name, name).rpartition("/")[2].partition(":")[0]
        authority.supply(folder, name, host, "localhost")
        new[name] = hashlib.sha256(ssl.PEM_cert_to_DER_cert((folder / "tls.crt").read_text())).hexdigest()
    until(lambda: all(served(address) == new[name] for name, address in instances.items()), "new certificates of the instances", 10)
    assert all(served(address) == before[name] for name, address in nodes.items())
    options = {name: known[name] for name in ("redis_nodes", "redis_tls", "redis_ca_path", "redis_client_cert", "redis_client_key")}
    options |= {"redis_password": secret(known, "redis_password"), "fingerprints": {address: new[name] for name, address in nodes.items()}}
    assert len(accepted(run_module("redis_config", options))["summary"]["updated"]) == 6
    assert all(served(address) == new[name] for name, address in nodes.items())
    assert accepted(run_module("redis_config", options))["changed"] is False
    for instance in known["instances"]:
        assert urllib3.request("GET", f"{instance['management_url']}/actuator/health", retries=False).json()["status"] == "UP"


def test_a_fleet_of_the_other_kind_is_not_taken_for_this_one(second: SecondFleet) -> None:
    assert second.command("up")[1].startswith("fleet: is running already")
    told = "fleet: a fleet with TLS on Redis is running, and one without it is wanted: make fleet-down first\n"
    assert second.command("up", EXALT_CACHING_TLS="") == (1, told)
    code, text = second.command("status", EXALT_CACHING_TLS="")
    assert code == 0 and text.count("RUNNING") == 12
