# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The S3 store while calls break: what may pass is repeated, what stays is one clear line, and nothing is left behind."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import typing as t
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._store import Store, open_store

from tests.harness import process
from tests.harness.s3_proxy import PASSING, Fault, S3Proxy

MIB = 1 << 20
BIG = bytes(range(256)) * (80 << 10)     # 20 MB
Broken = Callable[..., Store]
CALLS = ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "HeadObject", "GetObject", "ListObjects", "DeleteObject")


def use(store: Store, name: str) -> None:
    """Everything that a store is asked for, with the results that it must have."""
    assert store.put_if_absent(f"{name}/small", b"one") and not store.put_if_absent(f"{name}/small", b"two")
    store.put(f"{name}/other", b"three")
    with store.write(f"{name}/big") as writer:
        writer.write(BIG)
    with store.read(f"{name}/big") as reader:
        assert b"".join(reader) == BIG
    assert store.get(f"{name}/small") == b"one" and store.get_range(f"{name}/big", 5, 3) == BIG[5:8]
    assert [entry.name for entry in store.entries(name)] == [f"{name}/big", f"{name}/other", f"{name}/small"]
    store.delete(f"{name}/other")
    assert store.get(f"{name}/other") is None


@pytest.mark.parametrize("kind", PASSING)
def test_what_passes_is_not_seen(broken: Broken, s3_proxy: S3Proxy, s3_options: dict[str, t.Any], kind: str) -> None:
    """The first of each call is broken in this way."""
    store = broken(*(Fault(kind, f"^{call}$", first=1) for call in CALLS), timeout=20)
    use(store, kind)
    assert s3_proxy.delivered[kind] >= 6, s3_proxy.delivered
    assert open_store(s3_options).leftovers("") == [], "nothing is left behind"


def test_a_stalled_call_is_given_up_and_repeated(broken: Broken, s3_proxy: S3Proxy) -> None:
    store = broken(Fault("stall", "^UploadPart$", first=1), timeout=6)
    began = time.monotonic()
    with store.write("a/b") as writer:
        writer.write(BIG)
    assert s3_proxy.delivered["stall"] == 1 and time.monotonic() - began < 12


@pytest.mark.parametrize(("kind", "call", "told"), [
    ("503", "UploadPart", "it answered 503 SlowDown: Reduce your rate."),
    ("500", "CompleteMultipartUpload", "it answered 500 InternalError.*; a full disk of the store looks like this too"),
    ("507", "UploadPart", "the store is full"),
    ("stall", "UploadPart", "Read timeout on endpoint URL"),
    ("reset", "UploadPart", "Connection was closed|connection|Connection"),
    ("damage", "UploadPart", "it answered 400 BadDigest"),
])
def test_what_stays_is_one_line_within_the_time(broken: Broken, s3_proxy: S3Proxy, s3_options: dict[str, t.Any], kind: str, call: str, told: str) -> None:
    store = broken(Fault(kind, f"^{call}$"), timeout=3)
    began = time.monotonic()
    with pytest.raises(CachingError, match=f"^can't write to the store s3://exalt-cache-backups/[^ ]+: .*({told})") as caught:
        with store.write("a/b") as writer:
            for _number in range(5):
                writer.write(BIG)
    assert "\n" not in caught.value.message and len(caught.value.message) < 400
    assert time.monotonic() - began < 15 and s3_proxy.delivered[kind] >= 1
    found = open_store(s3_options)
    assert found.entries("") == [] and found.leftovers("") == []


def test_a_store_that_takes_nothing_does_not_hold_its_writer_for_long(broken: Broken) -> None:
    """The source of a replication stream cuts off who reads nothing for 60 s; with the default of 40 s this stays below."""
    store = broken(Fault("stall", "^UploadPart$"), timeout=4)
    longest = 0.0
    with pytest.raises(CachingError):
        with store.write("a/b") as writer:
            for _number in range(100):
                began = time.monotonic()
                try:
                    writer.write(BIG[: 4 * MIB])
                finally:
                    longest = max(longest, time.monotonic() - began)
    assert longest < 4 + 3


def test_a_body_that_is_always_cut_is_an_error(broken: Broken, s3_options: dict[str, t.Any]) -> None:
    plain = open_store(s3_options)
    plain.put("a/small", b"x" * 1000)
    store = broken(Fault("cut", "^GetObject$"), timeout=2)
    with pytest.raises(CachingError, match="^can't read the store"):
        store.get("a/small")
    with pytest.raises(CachingError, match="^can't read a/small in the store"):
        with broken(Fault("checksum", "^GetObject$"), timeout=2).read("a/small") as reader:
            list(reader)


def test_damage_on_the_way_is_found(broken: Broken, s3_proxy: S3Proxy, s3_options: dict[str, t.Any]) -> None:
    """Of what was stored in one piece, every byte that comes is checked; of parts, it is the digest of the whole that tells."""
    open_store(s3_options).put("a/small", b"x" * 1000)
    assert broken(Fault("damage-answer", "^GetObject$", first=1)).get("a/small") == b"x" * 1000
    assert s3_proxy.delivered["damage-answer"] == 1 and s3_proxy.calls["GetObject"] == 2


@pytest.mark.parametrize(("change", "told"), {
    "bucket": ({"store_url": "s3://no-such-bucket-here/x"}, "there is no such bucket; make it, or correct store_url"),
    "secret": ({"store_secret_key": "hunter2-wrong"}, "the secret key does not fit the access key; see store_secret_key"),
    "access": ({"store_access_key": "nobody"}, "the access key is not known there; see store_access_key"),
    "down": ({"store_endpoint_url": "http://{host}:9"}, "nobody answers on http://{host}:9/"),
    "tls": ({"store_endpoint_url": "https://{host}:{port}"}, "it speaks no TLS there"),
    "nonsense": ({"store_endpoint_url": "nonsense"}, "the store can't be used: Invalid endpoint: nonsense"),
    "half": ({"store_secret_key": ""}, "store_access_key and store_secret_key belong together"),
    "ca": ({"store_ca_path": "/nowhere/ca.pem"}, "store_ca_path: there is no file /nowhere/ca.pem"),
    "timeout": ({"store_timeout": "soon"}, "store_timeout: 'soon' is not a duration"),
}.values())
def test_what_the_user_got_wrong_is_one_line(s3_options: dict[str, t.Any], change: dict[str, str], told: str) -> None:
    at = urlsplit(s3_options["store_endpoint_url"])
    change, told = ({name: text.format(host=at.hostname, port=at.port) for name, text in change.items()}, told.format(host=at.hostname))
    acts: list[Callable[[Store], object]] = [lambda store: store.get("a"), lambda store: store.put("a", b""), lambda store: store.entries(""),
                                             lambda store: store.put_if_absent("a", b"")]
    for act in acts:
        with pytest.raises(CachingError, match=re.escape(told)) as caught:
            act(open_store({**s3_options, "store_timeout": 1, **change}))
        assert "\n" not in caught.value.message and "hunter2" not in caught.value.message and len(caught.value.message) < 400


@pytest.mark.parametrize(("sse", "key"), [("AES256", ""), ("aws:kms", "alias/caching")])
def test_the_store_is_asked_to_encrypt_what_it_keeps(s3_options: dict[str, t.Any], s3_proxy: S3Proxy, sse: str, key: str) -> None:
    """Each object names the key when it is begun, and its parts name none, as S3 wants it. A store that has no such key is told in one line."""
    store = open_store({**s3_options, "store_endpoint_url": s3_proxy.url, "store_timeout": 5, "store_sse": sse, "store_sse_kms_key_id": key})

    def long() -> None:
        with store.write("long") as writer:
            writer.write(bytes(6 << 20))

    refused = []
    for act in (lambda: store.put("a", b"x"), lambda: store.put_if_absent("b", b"x"), long):
        try:
            act()
        except CachingError as error:
            refused.append(error.message)
    assert s3_proxy.encryption["PutObject"] == s3_proxy.encryption["CreateMultipartUpload"] == {(sse, key)}, s3_proxy.encryption
    assert s3_proxy.encryption.get("UploadPart", {("", "")}) == {("", "")}
    assert all("\n" not in line and line.startswith("can't write to the store") for line in refused), refused
    assert all(line.endswith(f"; it was asked to encrypt (store_sse {sse}): has it such a key?") for line in refused), refused


MEMORY = """
import json, os, resource, sys
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store
store, size = open_store(json.loads(sys.argv[1])), int(sys.argv[2])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
store.put("memory/warm", b"x"); store.get("memory/warm")
before = peak()
block = os.urandom(1 << 20)
with store.write(f"memory/{size}") as writer:
    for _number in range(size):
        writer.write(block)
written = peak() - before
with store.read(f"memory/{size}") as reader:
    for _chunk in reader:
        pass
print(json.dumps([written, peak() - before]))
"""


def test_memory_does_not_grow_with_the_object(s3_options: dict[str, t.Any]) -> None:
    used = {}
    for size in (64, 256):
        ran = subprocess.run([sys.executable, "-c", MEMORY, json.dumps(s3_options), str(size)], capture_output=True, text=True, check=True,
                             env=process.environment(), timeout=120)
        used[size] = json.loads(ran.stdout)
    assert max(used[256]) <= 45 and used[256][1] - used[64][1] <= 5, used
