# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure parts of a replay: slots, patterns, checksums, commands, and answers in pieces of any size."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _replay_wire, _topology
from ansible_collections.exalt.caching.plugins.module_utils._replay import Checksums, Matcher
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from tests.harness.rdb_bytes import CRC


@given(st.binary(max_size=20) | st.lists(st.sampled_from((b"{", b"}", b"a", b"")), max_size=8).map(b"".join))
def test_slots_are_those_of_redis(key: bytes) -> None:
    assert _topology.slot(key) == key_slot(key)


@pytest.mark.parametrize(("pattern", "hit", "miss"), [
    ("product:*", [b"product:", b"product:1", b"product:\n\xff"], [b"Product:1", b"xproduct:1"]), ("h?llo", [b"hello", b"h\nllo"], [b"hllo", b"heello"]),
    ("h[ae]llo", [b"hallo"], [b"hillo"]), ("h[^e]llo", [b"hallo"], [b"hello"]), ("h[a-c]llo", [b"hbllo"], [b"hdllo"]), ("h[c-a]llo", [b"hbllo"], [b"hdllo"]),
    ("a\\*b", [b"a*b"], [b"axb"]), ("[\\]]", [b"]"], [b"\\"]), ("a.b", [b"a.b"], [b"axb"]), ("*", [b"", b"x"], []), ("", [b""], [b"x"]),
    ("[a", [b"a"], [b"[a"]), ("x[]y", [], [b"xy", b"x]y"]), ("ä*", ["äx".encode()], [b"ax"]), ("a\\", [b"a\\"], [b"a"]),
])
def test_patterns_mean_what_redis_means(pattern: str, hit: list[bytes], miss: list[bytes]) -> None:
    matches = Matcher([pattern]).match
    assert matches and all(matches(key) for key in hit) and not any(matches(key) for key in miss)


def test_any_of_several_patterns_and_none_is_all() -> None:
    matches = Matcher(["a*", "b"]).match
    assert matches and matches(b"abc") and matches(b"b") and not matches(b"bc") and Matcher([]).match is None


@given(st.integers(0, 255), st.binary(max_size=80), st.integers(0, 65535))
def test_the_checksum_of_a_payload_is_folded_as_it_is_counted(kind: int, value: bytes, version: int) -> None:
    sums = Checksums()
    state = CRC.calc(value, sums.after[kind])
    mixed = (state ^ version) & 0xFFFF
    state = sums.folded[mixed & 255] ^ sums.after[mixed >> 8] ^ (state >> 16)
    whole = bytes([kind]) + value + version.to_bytes(2, "little")
    assert state == CRC.calc(whole) and sums.footer([bytes([kind]), value], version) == whole[-2:] + state.to_bytes(8, "little")


@given(st.lists(st.lists(st.binary(max_size=30), min_size=1, max_size=5), max_size=6))
def test_commands_are_told_apart(given_: list[list[bytes]]) -> None:
    data = b"".join(_replay_wire.command(*words) for words in given_)
    assert [_replay_wire.arguments(one) for one in _replay_wire.commands(data)] == given_


class Wire:
    """A socket that gives its answers in pieces."""

    def __init__(self, data: bytes, cuts: list[int]) -> None:
        self.data, self.cuts = data, cuts

    def sendall(self, _part: t.Any) -> None:
        """Nobody listens."""

    def recv(self, _most: int) -> bytes:
        size = self.cuts.pop() if self.cuts else 4096
        part, self.data = self.data[:size], self.data[size:]
        return part

    def close(self) -> None:
        """Nothing is open."""


ANSWERS = (b"+OK", b"+OK", b"+OK", b"-MOVED 1 127.0.0.1:7000", b"-BUSYKEY Target key name already exists.", b"-", b"+")


@given(st.lists(st.sampled_from(ANSWERS), max_size=60), st.lists(st.integers(1, 40), max_size=80), st.integers(1, 7))
def test_answers_belong_to_their_commands_however_they_come(answers: list[bytes], cuts: list[int], size: int) -> None:
    wire = Wire(b"".join(answer + b"\r\n" for answer in answers), cuts)
    node = _replay_wire.Primary("a:1", lambda _address: t.cast("t.Any", wire))
    asked = [_replay_wire.command(b"RESTORE", b"%d" % number) for number in range(len(answers) + 2)]
    for start in range(0, len(asked), size):
        some = asked[start : start + size]
        node.send(_replay_wire.Block([b"".join(some)], len(some)))
    told = []
    while node.unanswered > 2:
        told += node.receive()
    assert told == [(answer, asked[place], False) for place, answer in enumerate(answers) if answer != b"+OK"]
    assert node.drop() == asked[-2:] and node.unanswered == node.bytes == 0
    with pytest.raises(ConnectionError):
        node.receive()
