# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CLUSTER NODES and INFO as data."""

from __future__ import annotations

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _topology as topology
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from hypothesis import given
from hypothesis import strategies as st

ID = "07c37dfeb235213a872192d90877d0cd55635b91"
OTHER = "67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1"
LINES = f"""\
{ID} 127.0.0.1:30004@31004,host4,shard-id=69 slave {OTHER} 0 1426238317239 4 connected
{OTHER} 127.0.0.1:30002@31002 myself,master - 0 0 2 connected 0-5460 5462 [93->-{ID}] [77-<-{ID}]
{"a" * 40} ::1:30003@31003,,tls-port=0 master,fail? - 1 2 3 disconnected 5461
{"b" * 40} :0@0 master,noaddr - 1 2 3 disconnected
{"c" * 40} [fe80::1]:7000@17000 master,nofailover - 0 0 9 connected 5463-16383
"""


@pytest.mark.hazard("H25")
def test_lines() -> None:
    replica, primary, suspected, lost, other = topology.nodes(LINES)
    assert (replica.address, replica.hostname, replica.primary_id, replica.is_primary) == ("127.0.0.1:30004", "host4", OTHER, False)
    assert primary.slots == ((0, 5460), (5462, 5462)) and len(primary.moving) == 2 and primary.primary_id is None
    assert (suspected.host, suspected.port, suspected.failing, suspected.connected) == ("::1", 30003, True, False)
    assert lost.failing and lost.host == ""
    assert (other.host, other.failing) == ("fe80::1", False), "nofailover is not a failure"


def test_slots_that_nobody_serves() -> None:
    assert topology.uncovered(topology.nodes(LINES)) == 1, "the suspected node's only slot"
    assert topology.uncovered([]) == topology.SLOTS


@pytest.mark.parametrize("line", ["x", "a b c", f"{ID} host flags - 0 0 x connected", f"{ID} 1.2.3.4:1@2 master - 0 0 1 connected 5-3",
                                  f"{ID} 1.2.3.4:1@2 master - 0 0 1 connected 16384", f"{ID} 1.2.3.4:x@2 master - 0 0 1 connected"])
def test_a_damaged_line_is_named(line: str) -> None:
    with pytest.raises(CachingError, match="can't be read"):
        topology.nodes(line)


@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    try:
        topology.nodes(text)
    except CachingError as error:
        assert "\n" not in error.message
    topology.info(text)


ADDRESS = st.sampled_from(["10.0.0.1:6379@16379", "h:1@2,h", "::1:6379@16379", ":0@0"])
SLOT = st.one_of(st.integers(0, 16383).map(str), st.tuples(st.integers(0, 8000), st.integers(8000, 16383)).map(lambda pair: f"{pair[0]}-{pair[1]}"))


@given(ADDRESS, st.lists(st.sampled_from(["master", "slave", "fail", "fail?", "myself", "noaddr"]), min_size=1), st.lists(SLOT, max_size=6))
def test_any_sound_line(address: str, flags: list[str], slots: list[str]) -> None:
    (node,) = topology.nodes(f"{ID} {address} {','.join(flags)} - 0 0 1 connected {' '.join(slots)}")
    assert len(node.slots) == len(slots) and node.flags == frozenset(flags)


def test_info_and_lag() -> None:
    primary = topology.info("# Replication\r\nrole:master\r\nmaster_repl_offset:1500\r\n\r\nempty:\r\n")
    replica = {"slave_repl_offset": "1400", "master_link_status": "up"}
    assert topology.number(primary, "master_repl_offset") == 1500
    assert topology.lag(primary, replica) == 100
    assert topology.lag(primary, {**replica, "master_link_status": "down"}) is None
    assert topology.lag({}, replica) is None and topology.number({"x": "1-2"}, "x") is None and topology.number({"x": "--1"}, "x") is None
