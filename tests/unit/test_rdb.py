# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of RDB files: every type whole, pieces of any size, and never anything but RdbError on what is damaged."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _rdb
from ansible_collections.exalt.caching.plugins.module_utils._rdb import RdbError, Reader
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness import rdb_bytes as raw

Row = tuple[int, bytes, "int | None", "int | None", "int | None", bytes]
SAMPLE = raw.sample()


def rows(content: bytes, piece: int = 1 << 20) -> tuple[list[Row], Reader]:
    reader = Reader(io.BytesIO(content).read, piece)
    return [(*record[:5], bytes(record[5])) for batch in reader.batches() for record in batch], reader


EXPECTED, _READER = rows(SAMPLE)


def test_every_type_is_skipped_to_its_end_and_handed_on_as_it_stands() -> None:
    found = {kind: (key, value) for kind, key, _when, _idle, _frequency, value in EXPECTED[: len(raw.VALUES)]}
    assert found == {kind: (b"key:%d" % kind, value) for kind, value in raw.VALUES.items()}
    assert [(key, when) for _kind, key, when, *_more in EXPECTED[len(raw.VALUES) :]] == [(b"-12345", None), (b"a" * 100, None), (b"s", 2**30 * 1000)]
    assert [(row[2], row[3], row[4]) for row in EXPECTED[:3]] == [(10**12, None, None), (None, 1, None), (None, None, 2)]


def test_the_summary_counts_and_names() -> None:
    found = _rdb.summary(io.BytesIO(SAMPLE).read)
    assert found.key_count == len(raw.VALUES) + 3 and found.functions == 1 and found.checksum is True
    assert found.expiring == sum(kind % 3 == 0 for kind in raw.VALUES) + 1
    assert (found.flavour, found.version, found.aux) == ("redis", 10, {"redis-ver": "7.0.15", "redis-bits": "64"})
    assert _rdb.summary(io.BytesIO(raw.file(checksum=False)).read).checksum is False


@pytest.mark.parametrize(("magic", "kind", "value"), [
    (b"VALKEY080", 22, raw.VALKEY_HASH), (b"REDIS0012", 24, raw.REDIS_HASH), (b"REDIS0012", 25, raw.REDIS_HASH_PACKED),
])
def test_the_magic_decides_which_types_there_are(magic: bytes, kind: int, value: bytes) -> None:
    content = raw.file(raw.record(kind, b"h", value), raw.record(0, b"next", raw.text(b"1")), magic=magic)
    assert [(row[0], row[1], row[5]) for row in rows(content)[0]] == [(kind, b"h", value), (0, b"next", raw.text(b"1"))]
    other = b"REDIS0011" if magic.startswith(b"V") else b"VALKEY080"
    with pytest.raises(RdbError, match=f"type {kind} is not known"):
        rows(raw.file(raw.record(kind, b"h", value), magic=other))


@given(piece=st.integers(1, 3000), short=st.integers(1, 500))
def test_pieces_of_any_size_give_the_same(piece: int, short: int) -> None:
    source = io.BytesIO(SAMPLE)
    reader = Reader(lambda wanted: source.read(min(wanted, short)), piece)
    found = [(*record[:5], bytes(record[5])) for batch in reader.batches() for record in batch]
    assert found == EXPECTED and len(reader.functions) == 1 and reader.aux == _READER.aux and reader.expiring == _READER.expiring


def test_a_cut_anywhere_is_found() -> None:
    for cut in range(len(SAMPLE)):
        with pytest.raises(RdbError):
            rows(SAMPLE[:cut])


@settings(max_examples=600, deadline=1000)
@given(data=st.data())
def test_a_change_anywhere_is_found(data: st.DataObject) -> None:
    """The checksum finds what the structure lets pass: any other bytes are an RdbError, never another result."""
    place = data.draw(st.integers(0, len(SAMPLE) - 1))
    content = data.draw(st.one_of(
        st.integers(1, 255).map(lambda bits: SAMPLE[:place] + bytes([SAMPLE[place] ^ bits]) + SAMPLE[place + 1 :]),
        st.binary(min_size=1, max_size=9).map(lambda more: SAMPLE[:place] + more + SAMPLE[place:]),
        st.integers(1, 50).map(lambda gone: SAMPLE[:place] + SAMPLE[place + gone :]),
        st.binary(min_size=1, max_size=9).map(lambda more: SAMPLE + more),
    ))
    if content == SAMPLE:
        return
    with pytest.raises(RdbError):
        rows(content, data.draw(st.sampled_from((1, 64, 1 << 20))))


@settings(max_examples=800, deadline=1000)
@given(data=st.data())
def test_without_a_checksum_damage_is_an_rdb_error_or_data(data: st.DataObject) -> None:
    body = bytearray(SAMPLE[:-8])
    for _change in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=9))
    try:
        rows(bytes(body) + b"\0" * 8)
    except RdbError as error:
        assert 0 <= error.offset <= len(body) + 8 and "\n" not in error.message


@settings(max_examples=300, deadline=1000)
@given(st.sampled_from((b"REDIS0010", b"VALKEY080", b"REDIS0012", b"")), st.binary(max_size=300))
def test_any_bytes_end_in_time(magic: bytes, content: bytes) -> None:
    try:
        rows(magic + content)
    except RdbError:
        pass


@pytest.mark.parametrize(("content", "told"), [
    (b"", "it ends here"), (b"REDIS00", "it ends here"), (b"#!/bin/sh\n", "not with REDIS or VALKEY"),
    (b"REDIS0099" + b"\xff" + b"\0" * 8, "version 99 of redis is not known"), (b"VALKEY011\xff" + b"\0" * 8, "version 11 of valkey is not known"),
    (raw.file(b"\xfe\x01"), "keys of database 1"), (raw.file(b"\xf6"), "opcode 246"), (raw.file(raw.record(200, b"k", b"")), "type 200 is not known"),
    (raw.file(b"\xfc" + b"\0" * 8 + b"\xff"), "between an expiry and its key"), (raw.file() + b"x", "bytes follow its end"), (raw.file()[:-3], "5 of 8 bytes"),
    (raw.file(checksum=True)[:-8] + b"\x01" * 8, "its checksum is"), (raw.file(b"\x00" + b"\x82"), "begins no length"),
    (raw.file(raw.record(0, b"k", b"\x81" + struct.pack(">Q", 2**63))), "more than any server takes"),
    (raw.file(b"\x00" + raw.lzf(b"\xff\xff\xff", 9)), "before its begin"), (raw.file(b"\x00" + raw.lzf(b"\x00a", 9)), "not the 9 bytes"),
    (raw.file(b"\x00" + raw.lzf(b"\x05a", 6)), "compressed string"), (raw.file(raw.record(18, b"k", b"\x01\x09")), "a node of kind 9"),
    (raw.file(raw.record(7, b"k", b"\x01\x09")), "a part of kind 9"), (raw.file(raw.record(0, b"k", b"\xc4")), "begins no string"),
])
def test_what_is_wrong_is_said_with_its_place(content: bytes, told: str) -> None:
    with pytest.raises(RdbError, match="at byte \\d+: ") as raised:
        rows(content)
    assert told in raised.value.message


def test_memory_is_one_piece_however_long_the_file_is() -> None:
    unit = b"".join(raw.record(0, b"product:%07d" % one, raw.text(b"v" * 300)) for one in range(3000))
    parts = [b"REDIS0010" + b"\xfe\x00", *[unit] * 60, b"\xff" + b"\0" * 8]

    def source():
        waiting = b""
        for part in parts:
            waiting += part
            while len(waiting) >= 65536:
                yield waiting[:65536]
                waiting = waiting[65536:]
        yield waiting

    pieces = source()
    tracemalloc.start()
    began = time.process_time()
    found = _rdb.summary(lambda wanted: next(pieces, b""), piece=1 << 18)
    taken, (_now, most) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.key_count == 180_000 and most < 8 << 20 and taken < 20
