# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory store: objects appear whole or not at all, once, and nowhere else."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._store import Directory, open_store


@pytest.fixture
def store(tmp_path: Path) -> Directory:
    found = open_store({"store_url": f"file://{tmp_path}/some%20store"})
    assert isinstance(found, Directory)
    return found


def test_put_get_list_delete(store: Directory) -> None:
    assert store.get("a/b") is None and store.entries("") == []
    store.put("a/b", b"one")
    store.put("a/b", b"two")
    store.put("c", b"")
    assert store.get("a/b") == b"two" and store.get("c") == b""
    assert [(entry.name, entry.size) for entry in store.entries("")] == [("a/b", 3), ("c", 0)]
    assert [entry.name for entry in store.entries("a")] == ["a/b"] and all(entry.age < 60 for entry in store.entries(""))
    store.delete("a/b")
    store.delete("a/b")
    assert [entry.name for entry in store.entries("")] == ["c"]


def test_put_if_absent_has_one_winner(store: Directory) -> None:
    start, wins = threading.Barrier(20), []

    def race(number: int) -> None:
        start.wait()
        if store.put_if_absent("lock/1", b"%d" % number):
            wins.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 1 and store.get("lock/1") == b"%d" % wins[0]
    assert os.listdir(Path(store.root) / "lock") == ["1"], "no temporary file is left"


def test_only_the_owner_can_read(store: Directory) -> None:
    store.put("a/b", b"secret")
    assert Path(store.root, "a", "b").stat().st_mode & 0o077 == 0 and Path(store.root, "a").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "a\nb", "a\0b", "~x", ".tmp-x"])
def test_names_that_lead_elsewhere_are_refused(store: Directory, name: str) -> None:
    with pytest.raises(CachingError, match="can't be the name of an object"):
        store.put(name, b"x")


@pytest.mark.parametrize("url", [
    "", "s3://", "s3://b", "s3://bucket?x", "s3://user:secret@bucket/x", "s3://bucket/x#y", "file://", "file:///", "relative/path",
    "http://x/y", "file://host/dir", "file://user:secret@host/x",
])
def test_urls_that_are_no_store(url: str) -> None:
    with pytest.raises(CachingError, match="store_url") as caught:
        open_store({"store_url": url})
    assert "secret" not in caught.value.message


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CachingError, match="can't write to the store .*: File exists"):
        Directory(str(tmp_path / "file")).put("a", b"x")


def test_a_stream_appears_whole_and_once(store: Directory) -> None:
    pieces = [bytes([number]) * 700_000 for number in range(5)]
    with store.write("sets/one/object") as writer:
        for piece in pieces:
            writer.write(memoryview(piece))
        assert store.entries("") == [] and store.get("sets/one/object") is None, "it appears before it is whole"
        assert [entry.size for entry in store.leftovers("sets")] == [entry.size for entry in store.leftovers("")]
    whole = b"".join(pieces)
    assert (writer.size, writer.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    with store.read("sets/one/object") as reader:
        chunks = list(reader)
        assert reader.size == len(whole)
    assert b"".join(chunks) == whole and max(map(len, chunks)) <= 1 << 20
    assert store.get_range("sets/one/object", 699_999, 2) == b"\0\1" and store.get_range("sets/one/object", len(whole), 5) == b""
    with pytest.raises(CachingError, match="sets/one/object is in the store already"):
        with store.write("sets/one/object") as writer:
            writer.write(b"other")
    assert store.get("sets/one/object") == whole and store.leftovers("") == []


def test_a_failed_stream_leaves_nothing(store: Directory) -> None:
    with pytest.raises(RuntimeError):
        with store.write("a/b") as writer:
            writer.write(b"x")
            raise RuntimeError
    assert os.listdir(Path(store.root) / "a") == []


def test_what_a_killed_stream_leaves_is_found_and_discarded(store: Directory) -> None:
    store.put("a/kept", b"x")
    writer = store.write("a/b")
    writer.write(b"y" * 3_000_000)  # never left: as after a kill
    (leftover,) = store.leftovers("a")
    assert leftover.size > 0 and leftover.age < 60 and [entry.name for entry in store.entries("")] == ["a/kept"]
    store.discard(leftover)
    store.discard(leftover)
    assert store.leftovers("") == [] and store.get("a/kept") == b"x"
    with pytest.raises(CachingError, match="is no leftover"):
        store.discard(store.entries("a")[0])


def test_reading_what_is_missing_or_cut(store: Directory) -> None:
    with pytest.raises(CachingError, match="there is no a/b in the store"):
        with store.read("a/b"):
            pass
    assert store.get_range("a/b", 0, 1) is None
    store.put("a/b", b"x" * 3_000_000)
    with pytest.raises(CachingError, match="a/b in the store is cut: 2000000 of its 3000000 bytes did not come"):
        with store.read("a/b") as reader:
            os.truncate(Path(store.root) / "a" / "b", 1_000_000)
            for _chunk in reader:
                pass
