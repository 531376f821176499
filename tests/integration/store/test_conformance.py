# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every store promises, asked of a directory, of a real S3 service, and of the same while every fifth call breaks."""

from __future__ import annotations

import hashlib
import os
import random
import threading

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._store import CHUNK, Store, open_store

MIB = 1 << 20


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def names(store: Store, prefix: str = "") -> list[str]:
    return [entry.name for entry in store.entries(prefix)]


def test_put_get_list_delete(store: Store) -> None:
    assert store.get("a/b") is None and store.entries("") == [] and store.entries("a") == [] and store.leftovers("") == []
    store.put("a/b", b"one")
    store.put("a/b", b"two")
    store.put("ab/c d", b"")
    store.put("c", b"\0" * 10)
    assert (store.get("a/b"), store.get("ab/c d"), store.get("c")) == (b"two", b"", b"\0" * 10)
    assert [(entry.name, entry.size) for entry in store.entries("")] == [("a/b", 3), ("ab/c d", 0), ("c", 10)]
    assert names(store, "a") == names(store, "a/") == ["a/b"] and all(0 <= entry.age < 60 for entry in store.entries(""))
    store.delete("a/b")
    store.delete("a/b")
    assert names(store) == ["ab/c d", "c"] and store.get("a/b") is None


def test_an_object_is_made_once(store: Store) -> None:
    assert store.put_if_absent("a/b", b"one") and not store.put_if_absent("a/b", b"two") and store.get("a/b") == b"one"
    with pytest.raises(CachingError, match="a/b is in the store already"):
        with store.write("a/b") as writer:
            writer.write(b"three")
    assert store.get("a/b") == b"one" and store.leftovers("") == []
    store.delete("a/b")
    assert store.put_if_absent("a/b", b"two") and store.get("a/b") == b"two"


def test_of_many_at_once_one_wins(options: dict[str, str]) -> None:
    stores = [open_store(options) for _number in range(5)]
    for turn in range(3):
        wins: list[int] = []

        def race(number: int, wins: list[int], name: str, start: threading.Barrier) -> None:
            start.wait()
            if stores[number % 5].put_if_absent(name, b"%d" % number):
                wins.append(number)

        start = threading.Barrier(20)
        threads = [threading.Thread(target=race, args=(number, wins, f"lock/{turn}", start)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(wins) == 1 and stores[0].get(f"lock/{turn}") == b"%d" % wins[0]


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 8 * MIB + 1, 20 * MIB])
def test_a_stream_appears_whole(store: Store, size: int) -> None:
    whole = content(size)
    with store.write("sets/one/object") as writer:
        for start in range(0, size, 3 * MIB):
            writer.write(memoryview(whole)[start : start + 3 * MIB])
        assert store.entries("") == [] and store.get("sets/one/object") is None, "it appears before it is whole"
    assert (writer.size, writer.sha256) == (size, hashlib.sha256(whole).hexdigest())
    with store.read("sets/one/object") as reader:
        assert reader.size == size
        chunks = list(reader)
    assert b"".join(chunks) == whole and max(map(len, chunks), default=0) <= CHUNK
    with store.read("sets/one/object") as reader:
        assert reader.read(3) == whole[:3] and reader.read(0) == b"" and reader.read(1 << 30)[:10] == whole[3:13]
    assert names(store) == ["sets/one/object"] and store.leftovers("") == []


def test_ranges(store: Store) -> None:
    whole = content(10 * MIB)
    with store.write("a/b") as writer:
        writer.write(whole)
    assert store.get_range("a/b", 0, 3) == whole[:3]
    assert store.get_range("a/b", 8 * MIB - 2, 4) == whole[8 * MIB - 2 : 8 * MIB + 2]
    assert store.get_range("a/b", 10 * MIB - 1, 9) == whole[-1:]
    assert store.get_range("a/b", 10 * MIB, 9) == b"" and store.get_range("a/b", 5, 0) == b""
    assert store.get_range("a/none", 0, 1) is None and store.get_range("a/none", 0, 0) is None


def test_reading_what_is_not_there(store: Store) -> None:
    with pytest.raises(CachingError, match="there is no a/b in the store"):
        with store.read("a/b"):
            pass


@pytest.mark.parametrize("size", [1, 20 * MIB])
def test_a_failed_stream_leaves_nothing(store: Store, size: int) -> None:
    with pytest.raises(ZeroDivisionError):
        with store.write("a/b") as writer:
            writer.write(content(size))
            raise ZeroDivisionError
    assert store.entries("") == [] and store.leftovers("") == []


def test_two_streams_to_one_name(store: Store) -> None:
    """Both run; the first that ends is the object, the other one learns it and leaves nothing."""
    with pytest.raises(CachingError, match="a/b is in the store already"):
        with store.write("a/b") as slow:
            slow.write(content(9 * MIB, 1))
            with store.write("a/b") as quick:
                quick.write(content(9 * MIB, 2))
    assert store.get("a/b") == content(9 * MIB, 2)
    assert store.leftovers("") == []


def test_what_a_kill_leaves_is_found_and_discarded(store: Store) -> None:
    store.put("a/kept", b"x")
    writer = store.write("a/b")
    writer.write(content(20 * MIB))  # and never left
    for _attempt in range(100):
        if any(entry.size for entry in store.leftovers("a")):
            break
        threading.Event().wait(0.05)
    found = store.leftovers("a")
    assert found and found == [entry for entry in found if entry.name.startswith("a/") and 0 <= entry.age < 60]
    assert store.leftovers("b") == [] and names(store) == ["a/kept"]
    for leftover in found:
        store.discard(leftover)
        store.discard(leftover)
    assert store.leftovers("") == [] and store.get("a/kept") == b"x"
    with pytest.raises(CachingError, match="is no leftover"):
        store.discard(store.entries("a")[0])


def test_names_that_lead_elsewhere_are_refused(store: Store) -> None:
    for name in ("", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "a\nb", "a\0b", "~x", ".tmp-x", "a/.tmp-x", "a#b"):
        for act in (store.get, store.delete, store.read, store.write, lambda name: store.put(name, b"")):
            with pytest.raises(CachingError, match="can't be the name of an object"):
                act(name)


def test_names_come_back_as_they_were(store: Store) -> None:
    odd = [f"odd/{name}" for name in ("a:b", "2026-11-25T10:00:00Z/shard-1.rdb", "x" * 100, "@+=,.:-", "a b", "percent-")]
    for name in odd:
        store.put(name, os.urandom(3))
        assert store.get_range(name, 0, 9) == store.get(name)
    assert names(store, "odd") == sorted(odd)


def test_a_list_of_many(store: Store) -> None:
    """More than S3 gives in one answer."""
    def put(start: int) -> None:
        for number in range(start, 1100, 20):
            store.put(f"many/{number:04}", b"")

    threads = [threading.Thread(target=put, args=(start,)) for start in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(store, "many") == [f"many/{number:04}" for number in range(1100)]
