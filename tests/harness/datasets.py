# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated data of every type, by a seed, and the comparison of two clusters key by key."""

from __future__ import annotations

import bisect
import random
import time
import typing as t
from collections.abc import Callable, Iterator

import redis
from redis.crc import key_slot

from tests.harness.scratch import Node, Scratch

KINDS = ("string", "number", "list", "set", "numbers", "zset", "hash", "stream", "bits", "log", "place")
Facts = dict[bytes, tuple[t.Any, ...]]


def text(chance: random.Random, most: int) -> bytes:
    """Bytes of any value, or text that compresses."""
    size = chance.choice((0, 1, 5, 40, most, chance.randrange(most + 1)))
    return chance.randbytes(size) if chance.random() < 0.6 else (b"%d-abc " % chance.randrange(9) * (size // 7 + 1))[:size]


def key(chance: random.Random, number: int) -> bytes:
    """Plain ones, numbers, binary ones, long ones that compress, and all the oddities of hash tags."""
    plain = b"product:%d" % number
    return chance.choice((
        plain, b"%d" % (number * 7919), b"-%d" % number, plain + chance.randbytes(8), b"{tag%d}%b" % (number % 5, plain), b"{}" + plain,
        b"a{b" + plain, b"}{x}" + plain, b"{" + chance.randbytes(3) + b"}" + plain, plain + b"\r\n\x00 ", plain * 30, b"x" * 300 + plain,
    ))


def fill(scratch: Scratch, seed: int, number: int = 150, big: bool = False) -> None:
    """About `number` keys."""
    chance = random.Random(seed)
    now = int(time.time() * 1000)
    nodes = scratch.primaries()
    field_expiry = knows(scratch.client(nodes[0]), "HPEXPIRE")
    route = router(scratch)
    pipes = {}
    for count in range(number):
        name = key(chance, count)
        node = route(name)
        pipe = pipes.setdefault(node.port, scratch.client(node).pipeline(transaction=False))
        kind = chance.choice(KINDS)
        few = chance.choice((1, 3, 20, 200, 700))
        if kind == "string":
            pipe.set(name, text(chance, 2000))
        elif kind == "number":
            pipe.set(name, chance.choice((0, 7, -1, 255, -32769, 2**31, 2**63 - 1)))
        elif kind == "list":
            pipe.rpush(name, *(text(chance, 3000 if few < 20 else 30) for _one in range(few)))
        elif kind == "set":
            pipe.sadd(name, *(text(chance, 60) for _one in range(few)))
        elif kind == "numbers":
            pipe.sadd(name, *(chance.randrange(2**chance.choice((8, 20, 50))) for _one in range(few)))
        elif kind == "zset":
            pipe.zadd(name, {text(chance, 50): chance.choice((chance.random() * 1e9, float("inf"), float("-inf"), 0.0, -1.5)) for _one in range(few)})
        elif kind == "hash":
            pipe.hset(name, mapping={text(chance, 40): text(chance, 90) for _one in range(few)})
            if field_expiry and chance.random() < 0.6:
                pipe.hset(name, "field", "expires")
                pipe.execute_command("HPEXPIRE", name, chance.randrange(10**6, 10**9), "FIELDS", 1, "field")
        elif kind == "stream":
            _stream(pipe, chance, name, few)
        elif kind == "bits":
            pipe.setbit(name, chance.randrange(5000), 1)
        elif kind == "log":
            pipe.pfadd(name, *(text(chance, 20) for _one in range(few)))
        else:
            pipe.geoadd(name, [chance.uniform(-170, 170), chance.uniform(-80, 80), text(chance, 20)])
        if chance.random() < 0.33:
            pipe.pexpireat(name, now + chance.randrange(600_000, 10**9))
    if big:
        for name in (b"big", b"big-hash"):
            pipe = pipes.setdefault(route(name).port, scratch.client(route(name)).pipeline(transaction=False))
            pipe.set(name, chance.randbytes(5_000_000)) if name == b"big" else pipe.hset(
                name, mapping={b"%d" % one: chance.randbytes(900) for one in range(6000)})
    for pipe in pipes.values():
        pipe.execute()
    for library in range(chance.randrange(3)):
        code = f"#!lua name=lib{library}\nredis.register_function('f{library}', function() return {chance.randrange(99)} end)"
        for node in nodes:
            scratch.client(node).execute_command("FUNCTION", "LOAD", code)


def knows(client: redis.Redis, command: str) -> bool:
    try:
        client.execute_command(command)
    except redis.ResponseError as error:
        return "unknown command" not in str(error)
    return True


def many(scratch: Scratch, number: int, seed: int) -> None:
    """Many small keys, beside those of every type."""
    chance, route = random.Random(seed), router(scratch)
    pipes = {node.port: scratch.client(node).pipeline(transaction=False) for node in scratch.primaries()}
    for one in range(number):
        name = b"item:%d" % one
        pipes[route(name).port].set(name, chance.randbytes(300), ex=9000 if one % 3 else None)
    for pipe in pipes.values():
        pipe.execute()


def router(scratch: Scratch) -> Callable[[bytes], Node]:
    """Who owns a key now."""
    rows = sorted(scratch.owners(), key=lambda row: row[0])
    firsts = [first for first, _node in rows]
    return lambda name: rows[bisect.bisect_right(firsts, key_slot(name)) - 1][1]


def _stream(pipe: t.Any, chance: random.Random, name: bytes, few: int) -> None:
    for entry in range(min(few, 60)):
        pipe.xadd(name, {text(chance, 10) or b"f": text(chance, 50), b"n": entry}, id=f"{entry + 1}-{chance.randrange(1, 9)}")
    if chance.random() < 0.3:
        pipe.xdel(name, "1-1", "2-1", "2-2")
    for group in range(chance.randrange(3)):
        pipe.xgroup_create(name, f"g{group}", chance.choice(("0", "$", "3-1")))
        for consumer in ("c1", "c2"):
            pipe.xreadgroup(f"g{group}", consumer, {name: ">"}, count=chance.randrange(1, 9))


def facts(scratch: Scratch) -> Facts:
    """Every key: its type, digest, expiry, and what a digest leaves out."""
    found: Facts = {}
    for node in scratch.primaries():
        client = scratch.client(node)
        keys = list(client.scan_iter(count=1000))
        pipe = client.pipeline(transaction=False)
        for name in keys:
            pipe.execute_command("DEBUG", "DIGEST-VALUE", name)
            pipe.execute_command("PEXPIRETIME", name)
            pipe.type(name)
        rows = pipe.execute()
        for place, name in enumerate(keys):
            digest, expiry, kind = rows[3 * place : 3 * place + 3]
            found[name] = (kind, digest, expiry, *_more(client, name, kind))
    return found


def _more(client: redis.Redis, name: bytes, kind: bytes) -> Iterator[t.Any]:
    if kind == b"stream":
        row = client.execute_command("XINFO", "STREAM", name, "FULL", "COUNT", 0)
        yield repr(_sorted(row))
    if kind == b"hash" and client.hexists(name, "field"):
        try:
            yield client.execute_command("HPEXPIRETIME", name, "FIELDS", 1, "field")
        except redis.ResponseError:
            yield None


def _sorted(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return sorted((str(name), _sorted(entry)) for name, entry in value.items() if name not in ("radix-tree-keys", "radix-tree-nodes"))
    return [_sorted(entry) for entry in value] if isinstance(value, list) else value


def functions(scratch: Scratch) -> list[str]:
    """The functions of each primary; the same everywhere, or told as they are."""
    found = []
    for node in scratch.primaries():
        found.append(repr(sorted(map(repr, _sorted(scratch.client(node).execute_command("FUNCTION", "LIST", "WITHCODE"))))))
    return sorted(set(found))


def differences(source: Facts, target: Facts, apart: int = 0) -> list[str]:
    """What differs, a line each; an expiry may be `apart` milliseconds off."""
    told = [f"{name!r} is missing" for name in source.keys() - target.keys()]
    told += [f"{name!r} is too much" for name in target.keys() - source.keys()]
    for name in source.keys() & target.keys():
        (kind, digest, expiry, *more), (kind2, digest2, expiry2, *more2) = source[name], target[name]
        if (kind, digest, more) != (kind2, digest2, more2) or abs(expiry - expiry2) > apart or min(expiry, expiry2) == -1 != max(expiry, expiry2):
            told.append(f"{name!r}: {source[name]} became {target[name]}")
    return told
