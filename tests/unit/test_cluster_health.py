# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on a Redis Cluster from what all of its nodes say."""

from __future__ import annotations

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _cluster_health as health
from ansible_collections.exalt.caching.plugins.module_utils import _topology
from ansible_collections.exalt.caching.plugins.module_utils._cluster_health import View

IDS = {name: letter * 40 for name, letter in (("p1", "a"), ("p2", "b"), ("r1", "c"), ("r2", "d"))}
PLACES = {"p1": "10.0.0.1:6379", "p2": "10.0.0.2:6379", "r1": "10.0.0.3:6379", "r2": "10.0.0.4:6379"}
ROLES = {
    "p1": "master - 0 0 1 connected 0-8191",
    "p2": "master - 0 0 2 connected 8192-16383",
    "r1": f"slave {IDS['p1']} 0 0 1 connected",
    "r2": f"slave {IDS['p2']} 0 0 2 connected",
}


def view(own: str, state: str = "ok", **other: str) -> View:
    """What one node says; `other` are the lines (flags and all after them) of nodes that it sees otherwise."""
    lines = []
    for name, line in ROLES.items():
        line = other.get(name, line)
        lines.append(f"{IDS[name]} {PLACES[name]}@16379 {'myself,' if name == own else ''}{line}")
    replica = own.startswith("r")
    info = {"slave_repl_offset": "1000", "master_link_status": "up"} if replica else {"master_repl_offset": "1000"}
    return View(PLACES[own], tuple(_topology.nodes("\n".join(lines))), {"cluster_state": state}, info)


def views(**changed: View) -> list[View]:
    return [changed.get(name, view(name)) for name in ROLES]


def test_a_healthy_cluster_has_no_reasons() -> None:
    assert health.reasons(views(), 0) == []
    assert [(shard["primary"], shard["slots"], [replica["address"] for replica in shard["replicas"]]) for shard in health.shards(views())] == [
        (PLACES["p1"], ["0-8191"], [PLACES["r1"]]),
        (PLACES["p2"], ["8192-16383"], [PLACES["r2"]]),
    ]


def test_a_healing_that_did_not_end_is_told() -> None:
    text = "automatic failover of 10.0.0.4:6379 is held by an unfinished redis_cluster run: run it again"
    assert health.reasons(views(r2=view("r2")._replace(held=True)), 0) == [text]


@pytest.mark.hazard("H25")
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("master,nofailover - 0 0 1 connected 0-8191", ""),
        ("master,fail? - 0 0 1 connected 0-8191", "10.0.0.1:6379 is suspected to have failed, as 10.0.0.2:6379 sees it"),
        ("master,fail - 0 0 1 connected 0-8191", "10.0.0.1:6379 has failed, as 10.0.0.2:6379 sees it"),
        ("master,noaddr - 0 0 1 disconnected 0-8191", "10.0.0.1:6379 has no address, as 10.0.0.2:6379 sees it"),
        ("master,handshake - 0 0 1 connected 0-8191", "10.0.0.1:6379 is still joining, as 10.0.0.2:6379 sees it"),
        ("master - 0 0 1 disconnected 0-8191", "10.0.0.1:6379 is not connected, as 10.0.0.2:6379 sees it"),
    ],
)
def test_flags_are_read_exactly(line: str, told: str) -> None:
    found = health.reasons(views(p2=view("p2", p1=line)), 0)
    assert (found == []) if not told else (told in found), found


def test_views_that_differ_and_slots_that_nobody_serves() -> None:
    lost = "master - 0 0 2 connected 8192-16000"
    found = health.reasons(views(r1=view("r1", p2=lost)), 0)
    assert found == ["views differ: 10.0.0.3:6379 see the cluster otherwise than 10.0.0.1:6379"]
    everywhere = [view(name, p2=lost, state="fail") for name in ROLES]
    told = health.reasons(everywhere, 0)
    assert "383 of 16384 slots are served by no primary that works" in told and "10.0.0.1:6379: cluster_state is fail" in told


def test_replicas() -> None:
    behind = view("r1")._replace(info={"slave_repl_offset": "400", "master_link_status": "up"})
    assert health.reasons(views(r1=behind), 600) == []
    assert "10.0.0.3:6379 is 600 bytes behind its primary 10.0.0.1:6379, more than max_lag 599" in health.reasons(views(r1=behind), 599)
    down = view("r1")._replace(info={"master_link_status": "down"})
    assert health.reasons(views(r1=down), 0) == [
        "10.0.0.3:6379: its link to the primary 10.0.0.1:6379 is down",
        "the shard of 10.0.0.1:6379 has no replica that works",
    ]
    assert health.reasons(views(r1=down), 0, replicas=0) == ["10.0.0.3:6379: its link to the primary 10.0.0.1:6379 is down"]
    assert health.reasons(views(), 0, replicas=2) == [f"the shard of 10.0.0.{n}:6379 has 1 of 2 replicas that work" for n in (1, 2)]


def test_a_node_that_does_not_answer_is_told() -> None:
    found = health.reasons(views(r2=View(PLACES["r2"], error="Connection refused")), 0)
    assert found == ["10.0.0.4:6379 does not answer: Connection refused", "the shard of 10.0.0.2:6379 has no replica that works"]
    assert len(health.known(views(r2=View(PLACES["r2"], error="x")))) == 4, "the others still know it"


def test_a_node_without_its_own_address_is_where_it_was_asked() -> None:
    nodes = tuple(_topology.nodes(f"{'e' * 40} :6379@16379 myself,master - 0 0 1 connected 0-16383"))
    assert health.addresses([View("10.0.0.9:6379", nodes)]) == {"e" * 40: "10.0.0.9:6379"}


@pytest.mark.hazard("H22")
@pytest.mark.parametrize(
    ("info", "percent", "reason"),
    [
        ({"used_memory": "859", "maxmemory": "1000"}, 85.9, ""),
        ({"used_memory": "859", "maxmemory": "0"}, None, "maxmemory is not set, so there is no limit"),
        ({}, None, ""),
    ],
)
def test_memory(info: dict[str, str], percent: float | None, reason: str) -> None:
    found = health.memory(info)
    assert (found["percent"], found["reason"]) == (percent, reason)


@pytest.mark.hazard("H58")
def test_settings_and_users_show_no_secret() -> None:
    settings = {
        "requirepass": "s1",
        "masterauth": "s2",
        "primaryauth": "s3",
        "tls-key-file-pass": "s4",
        "tls-client-key-file-pass": "",
        "maxmemory": "0",
        "tls-auth-clients": "yes",
    }
    found = health.redacted(settings)
    assert {name: value for name, value in found.items() if value != health.REDACTED} == {
        "tls-client-key-file-pass": "",
        "maxmemory": "0",
        "tls-auth-clients": "yes",
    }
    users = health.users(["user default on nopass ~* &* +@all", "user app on #" + "ab" * 32 + " >clear ~cache:* -@all +get", "rubbish"])
    assert "clear" not in str(users) and "abab" not in str(users) and [user["passwords"] for user in users] == [0, 1]
    assert users[1]["rules"] == ["~cache:*", "-@all", "+get"]
    assert health.findings(users, {"tls-port": "6380", "port": "6379"}) == [
        "user default is enabled and needs no password",
        "the port 6379 is open without TLS beside the TLS port",
    ]
