# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The replication stream against a peer that says what a test wants, in pieces of any size. Real nodes: tests/integration/backup."""

from __future__ import annotations

import socket
import struct
import threading
import time

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._stream import Broken, Refused, Stream, crc64

HEAD = b"REDIS0011\xfa\x09redis-ver\x067.0.15\xfe\x00\xfb\x03\x01"
BODY = HEAD + b"\x00\x01a\x01b" + b"\xfc" + struct.pack("<q", 1) + b"\x00\x01c\xc0\x07"
BODY += b"\x00\x04long\x80" + struct.pack(">I", 300000) + b"x" * 300000 + b"\xff"
RDB = BODY + struct.pack("<Q", crc64(BODY))
MARK = b"0123456789abcdef0123456789abcdef01234567"
FULL = b"+FULLRESYNC " + b"a" * 40 + b" 4711\r\n"


class Peer:
    """Answers each command with the next of its answers, then closes."""

    def __init__(self, *answers: bytes, size: int = 1 << 20, pause: float = 0.0) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.answers, self.size, self.pause = answers, size, pause
        self.asked: list[bytes] = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        try:
            for answer in self.answers:
                self.asked.append(self.theirs.recv(4096))
                for start in range(0, len(answer), self.size):
                    self.theirs.sendall(answer[start:start + self.size])
                    time.sleep(self.pause)
        except OSError:
            pass
        finally:
            self.theirs.close()


def read(peer: Peer, valkey: str | None = None, marked: bool = True, silence: float = 5.0) -> tuple[Stream, bytes]:
    stream = Stream(peer.ours, "10.0.0.4:6379", "backup", valkey, marked, silence)
    try:
        stream.prepare()
        stream.begin()
        stream.await_data()
        return stream, b"".join(bytes(piece) for piece in stream.pieces())
    finally:
        stream.close()
        peer.thread.join(5)


@pytest.mark.parametrize("size", [1 << 20, 4096, 7, 1])
@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("rdb", [RDB, b"VALKEY080\xff" + struct.pack("<Q", crc64(b"VALKEY080\xff"))])
def test_both_forms_in_pieces_of_any_size(size: int, marked: bool, rdb: bytes) -> None:
    if size < 7 and len(rdb) > 1000:
        rdb = BODY[:len(HEAD)] + b"\xff"
        rdb += struct.pack("<Q", crc64(rdb))
    head = b"$EOF:" + MARK + b"\r\n" if marked else b"$%d\r\n" % len(rdb)
    answers = [b"+OK\r\n"] * (1 + marked) + [b"\n\n" + FULL + b"\n\n\n" + head + rdb + (MARK if marked else b"")]
    peer = Peer(*answers, size=size)
    stream, seen = read(peer, marked=marked)
    assert seen == rdb and stream.size == len(rdb) and (stream.replication_id, stream.offset) == ("a" * 40, 4711)
    assert stream.crc == stream.trailer == crc64(rdb[:-8])
    counts = (3, 1) if rdb.startswith(HEAD) else (0, 0)
    assert (stream.found.key_count, stream.found.expiring) == counts and stream.found.version == (11 if counts[0] else 80)
    assert b"PSYNC" in peer.asked[-1] and peer.asked[-1].count(b"*") == 1, "PSYNC goes out alone"
    assert (b"eof" in b"".join(peer.asked)) is marked


def test_a_valkey_is_told_its_own_version() -> None:
    peer = Peer(*[b"+OK\r\n"] * 3, FULL + b"$%d\r\n" % len(RDB) + RDB)
    read(peer, valkey="9.1.2")
    assert b"version\r\n$5\r\n9.1.2" in peer.asked[2]


def test_a_node_without_rdb_only_is_read_too() -> None:
    """Before 7.0 commands follow the data; nothing of them is taken for data."""
    peer = Peer(b"+OK\r\n", b"-ERR Unrecognized REPLCONF option: rdb-only\r\n", FULL + b"$%d\r\n" % len(RDB) + RDB + b"*1\r\n$4\r\nPING\r\n")
    assert read(peer)[1] == RDB


def flipped(place: int) -> bytes:
    return RDB[:place] + bytes([RDB[place] ^ 1]) + RDB[place + 1:]


@pytest.mark.hazard("H34")
@pytest.mark.parametrize(("data", "told"), [
    (b"$EOF:" + MARK + b"\r\n" + RDB, "closed the connection before its data was complete"),
    (b"$EOF:" + MARK + b"\r\n" + RDB + MARK[:-1], "closed the connection before"),
    (b"$%d\r\n" % len(RDB) + RDB[:-1], "closed the connection before"),
    (b"$%d\r\n" % len(RDB) + flipped(1000), "damaged on its way"),
    (b"$%d\r\n" % len(RDB) + flipped(len(RDB) - 1), "damaged on its way"),
    (b"$%d\r\n" % len(RDB) + flipped(len(RDB) - 9), "does not end as an RDB does"),
    (b"$%d\r\n" % (len(RDB) - 1) + RDB, "does not end as an RDB does"),
    (b"$EOF:" + MARK + b"\r\n" + RDB[:50000] + MARK, "does not end as an RDB does"),
    (b"$0\r\n", "does not end as an RDB does"),
    (b"$EOF:" + MARK + b"\r\n" + MARK, "does not end as an RDB does"),
    (b"$20\r\n" + b"HTTP/1.1 200 OK" + b"\xff" * 9, "which is no RDB"),
    (b"$19\r\n" + b"REDIS0011\x00" + b"\xff" * 9, "can't be read as an RDB"),
    (b"$EOF:short\r\n", "where the data should begin"),
    (b"-ERR something\r\n", "where the data should begin"),
    (b"", "closed the connection before"),
])
def test_what_is_not_whole_is_no_backup(data: bytes, told: str) -> None:
    with pytest.raises(Broken, match=told):
        read(Peer(b"+OK\r\n", b"+OK\r\n", FULL + data))


def test_a_zero_trailer_means_that_the_node_makes_no_checksums() -> None:
    rdb = BODY + bytes(8)
    stream, seen = read(Peer(b"+OK\r\n", b"+OK\r\n", FULL + b"$%d\r\n" % len(rdb) + rdb))
    assert seen == rdb and stream.trailer == 0 and stream.crc == crc64(BODY)


@pytest.mark.parametrize(("answers", "kind", "told"), [
    ([b"-NOPERM User backup has no permissions to run the 'replconf' command\r\n"], Refused, "ACL SETUSER backup +psync +replconf"),
    ([b"+OK\r\n", b"-NOPERM this user has no permissions\r\n"], Refused, "ACL SETUSER backup +psync +replconf"),
    ([b"+OK\r\n", b"+OK\r\n", b"-NOPERM User backup has no permissions to run the 'psync' command\r\n"], Refused, "ACL SETUSER backup"),
    ([b"-ERR unknown command 'REPLCONF'\r\n"], Refused, "renamed or disabled"),
    ([b"+OK\r\n", b"+OK\r\n", b"-NOMASTERLINK Can't SYNC while not connected with my master\r\n"], Broken, "NOMASTERLINK"),
    ([b"+OK\r\n", b"+OK\r\n", b"-LOADING Redis is loading\r\n"], Broken, "LOADING"),
    ([b"+OK\r\n", b"+OK\r\n", b"+CONTINUE\r\n"], Broken, "CONTINUE"),
    ([b"x" * 20000], Broken, "sends what is no answer"),
])
def test_a_refusal_is_one_clear_line(answers: list[bytes], kind: type[CachingError], told: str) -> None:
    with pytest.raises(kind, match=told.replace("+", r"\+")) as caught:
        read(Peer(*answers))
    assert caught.type is kind and "\n" not in caught.value.message


def test_silence_has_an_end() -> None:
    ours, theirs = socket.socketpair()
    began = time.monotonic()
    with theirs, pytest.raises(Broken, match="has sent nothing for 0 s"):
        Stream(ours, "10.0.0.4:6379", None, None, True, silence=0.2).prepare()
    assert time.monotonic() - began < 2


def test_the_bandwidth_limit_holds() -> None:
    peer = Peer(b"+OK\r\n", b"+OK\r\n", FULL + b"$%d\r\n" % len(RDB) + RDB)
    stream = Stream(peer.ours, "10.0.0.4:6379", None, None, True)
    stream.prepare()
    stream.begin()
    stream.await_data()
    began = time.monotonic()
    assert sum(len(piece) for piece in stream.pieces(limit=600_000)) == len(RDB)
    assert 0.35 < time.monotonic() - began < 2
    stream.close()
