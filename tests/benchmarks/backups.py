# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup of JSON values in three shards, beside what a user would type instead: all in turns, on the same replicas.

The raw limit is `redis-cli --rdb -` of three replicas at once, thrown away. `repl-diskless-sync-delay` is 0 on all sides, as with the
default of five seconds everybody waits alike. "Elsewhere" is a store that costs this machine next to nothing: a directory in memory.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import json
import os
import random
import secrets
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import typing as t
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from ansible_collections.exalt.caching.plugins.module_utils import _topology
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store

from tests.benchmarks.ways import Failed
from tests.faults.backups import Running
from tests.fleet import built, paths
from tests.harness.modules import run_module
from tests.harness.scratch import Node, Scratch

Row = tuple[str, float, str, float | None]
PAUSE = 0.5     # a run right after another waits for the child of the first


class Sample(t.NamedTuple):
    """Seconds by the clock, of the client's processes, of the servers; the client's peak memory in MB."""

    seconds: float
    own: float
    servers: float
    memory: float = 0.0


def fill(scratch: Scratch, keys: int, bits: int = 760) -> None:
    """JSON values, of about 310 bytes unless `bits` says more, by plain commands: that is how they come in in life."""
    chance = random.Random(1)
    parts: dict[int, bytearray] = defaultdict(bytearray)
    owners = scratch.primaries()
    for number in range(keys):
        key = b"products::product:%d" % number
        fields = {"id": number, "name": f"product {number}", "price": number * 1.37, "tags": [f"t{number % 7}", f"u{number % 11}"],
                  "text": f"{chance.getrandbits(bits):x}"}
        value = json.dumps(fields).encode()
        shard = sum(_topology.slot(key) >= _topology.SLOTS * edge // 3 for edge in (1, 2))
        parts[shard] += b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value)
    for place, commands in parts.items():
        done = subprocess.run([*cli(owners[place]), "--pipe"], input=bytes(commands), capture_output=True, env=environment(), check=False)
        if b"errors: 0" not in done.stdout:
            raise Failed(f"filling: {done.stdout[-200:]!r}")
    scratch.until(scratch.whole, "the cluster is not whole")


@functools.cache
def tools() -> Path:
    """What a skilled person has at hand."""
    return built.unpacked(paths.cache() / "bench-tools", ("redis-tools", "zstd", "rclone"), {})


def environment() -> dict[str, str]:
    return {**os.environ, **built.environment(tools())}


def cli(node: Node) -> list[str]:
    password = ["-a", node.password, "--no-auth-warning"] if node.password else []
    return [str(tools() / "usr/bin/redis-cli"), "-p", str(node.port), *password]


def rclone(options: dict[str, t.Any]) -> dict[str, str]:
    """The store as rclone takes it from the environment: the remote `store`."""
    return {f"RCLONE_CONFIG_STORE_{name}": value for name, value in {
        "TYPE": "s3", "PROVIDER": "Other", "ACCESS_KEY_ID": options["store_access_key"], "SECRET_ACCESS_KEY": options["store_secret_key"],
        "ENDPOINT": options["store_endpoint_url"], "REGION": options.get("store_region") or "us-east-1",
    }.items()} | {"RCLONE_CONFIG": "/dev/null", "AWS_CA_BUNDLE": ""}    # its transport takes no bundle


def cpu(scratch: Scratch) -> float:
    """Processor seconds of all servers and of the processes that they have forked."""
    total = 0.0
    for node in scratch.nodes:
        told = scratch.client(node).info("cpu")
        total += sum(float(told[f"used_cpu_{kind}"]) for kind in ("user", "sys", "user_children", "sys_children"))
    return total


def measured(scratch: Scratch, work: Callable[[], tuple[float, float]]) -> Sample:
    """`work` gives the processor seconds and the memory of its processes."""
    time.sleep(PAUSE)
    before, began = cpu(scratch), time.monotonic()
    own, memory = work()
    seconds = time.monotonic() - began
    time.sleep(0.1)     # until the servers have counted their children
    return Sample(seconds, own, cpu(scratch) - before, memory)


def pipes(scratch: Scratch, command: str, more: dict[str, str] | None = None) -> Callable[[], tuple[float, float]]:
    """A shell pipe for each replica, all at once; {cli} and {number} are replaced, `more` is added to its environment."""
    def work() -> tuple[float, float]:
        replicas = [scratch.replica_of(node) for node in scratch.primaries()]
        running = [subprocess.Popen(["bash", "-c", "set -o pipefail; " + command.format(cli=" ".join(cli(node)), number=number)],
                                    env={**environment(), **(more or {})},
                                    stderr=subprocess.DEVNULL) for number, node in enumerate(replicas)]
        used = 0.0
        for process in running:
            _pid, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            used += usage.ru_utime + usage.ru_stime
            if process.returncode:
                raise Failed(f"{command}: ended with {process.returncode}")
        return used, 0.0

    return work


def module(scratch: Scratch, options: dict[str, t.Any], seconds: list[float], check: bool = False) -> Callable[[], tuple[float, float]]:
    """redis_backup as a process of its own; `seconds` gets its own figure, to the manifest. `check`: all but taking it."""
    def work() -> tuple[float, float]:
        run = Running({**scratch.args, "cluster": "bench", "signing_key": "a key for the bench", "verify": False, **options}, check=check)
        found: list[bytes] = []
        reader = threading.Thread(target=lambda: found.append(run.process.stdout.read() if run.process.stdout else b""))
        reader.start()
        peak = peak_memory(run.process)
        _pid, status, usage = os.wait4(run.process.pid, 0)
        run.process.returncode = os.waitstatus_to_exitcode(status)
        reader.join()
        result = json.loads(found[0] or b"{}")
        if result.get("failed") or "backup" not in result:
            raise Failed(f"redis_backup: {result.get('msg')}")
        seconds.append(result["backup"].get("seconds", 0.0))
        return usage.ru_utime + usage.ru_stime, peak

    return work


def peak_memory(process: subprocess.Popen[t.Any]) -> float:
    """MB, looked at until its end. (What wait4 tells counts from before exec, when the child still was a copy of this process.)"""
    peak = 0
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
            peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
        time.sleep(0.02)
    return peak / 1024


def guide(scratch: Scratch, folder: Path, store_options: dict[str, t.Any]) -> Callable[[], tuple[float, float]]:
    """The guide's script with its wait loop mended: all six nodes in turn, a copy, gzip, an upload, and a check of what arrived."""
    def work() -> tuple[float, float]:
        began, store, place = time.process_time(), open_store(store_options), folder / "guide"
        place.mkdir()
        for node in scratch.nodes:
            client = scratch.client(node)
            saves = client.info("persistence")["rdb_saves"]
            client.bgsave()
            while (now := client.info("persistence"))["rdb_saves"] == saves or now["rdb_bgsave_in_progress"]:
                time.sleep(1.0)
            shutil.copy(node.folder / "dump.rdb", place / f"{node.port}.rdb")
        for path in place.iterdir():
            packed = gzip.compress(path.read_bytes(), 6)
            name = f"guide-{secrets.token_hex(4)}/{path.name}.gz"
            store.put(name, packed)
            if hashlib.sha256(store.get(name) or b"").digest() != hashlib.sha256(packed).digest():
                raise Failed("the guide's way: what arrived is not what was sent")
        shutil.rmtree(place)
        return time.process_time() - began, 0.0

    return work


def rows(folder: Path, keys: int, rounds: int, s3: dict[str, t.Any]) -> list[Row]:
    """All ways in turn, so many times; ratios of medians."""
    with Scratch(folder / "backup", shards=3, replicas=1) as scratch, tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        fill(scratch, keys)
        told: dict[str, list[float]] = defaultdict(list)
        place = {**s3, "store_url": f"s3://exalt-cache-backups/bench-{secrets.token_hex(6)}"}
        elsewhere = {"store_url": f"file://{memory}/store"}
        ways: dict[str, Callable[[], tuple[float, float]]] = {
            "raw": pipes(scratch, "{cli} --rdb - > /dev/null"),
            "start": module(scratch, place, told["start"], check=True), "s3": module(scratch, place, told["s3"]),
            "elsewhere": module(scratch, elsewhere, told["elsewhere"]),
            "plain": module(scratch, {**place, "uncompressed_source": True}, told["plain"]),
            "typed": pipes(scratch, "{cli} --rdb - | zstd -q -1 > " + memory + "/{number}"),
            "rclone": pipes(scratch, "{cli} --rdb - | zstd -q -1 | rclone rcat --no-check-dest store:" + place["store_url"][5:] + "/{number}", rclone(s3)),
        }
        samples: dict[str, list[Sample]] = defaultdict(list)
        for number in range(rounds):
            for name, way in ways.items():
                samples[name].append(measured(scratch, way))
                shutil.rmtree(f"{memory}/store", ignore_errors=True)
            print(f"backup, round {number + 1} of {rounds}: " + ", ".join(f"{name} {taken[-1].seconds:.2f} s" for name, taken in samples.items()), flush=True)
        slow = measured(scratch, guide(scratch, folder, place))
        begun = time.monotonic()
        whole = run_module("redis_backup", {**scratch.args, **place, "cluster": "bench", "signing_key": "a key for the bench"}, warm=False)
        if whole.get("failed"):
            raise Failed(f"redis_backup: {whole['msg']}")
        verified = time.monotonic() - begun
        store = open_store(place)
        for entry in store.entries(""):
            store.delete(entry.name)
    return _table(samples, told, slow, verified, keys)


def _table(samples: dict[str, list[Sample]], told: dict[str, list[float]], slow: Sample, verified: float, keys: int) -> list[Row]:
    middle = {name: statistics.median(sample.seconds for sample in taken) for name, taken in samples.items()}
    inside = {name: statistics.median(taken) for name, taken in told.items()}
    used = {name: statistics.median(sample.own for sample in taken) for name, taken in samples.items()}
    raw_cpu = statistics.median(sample.own + sample.servers for sample in samples["raw"])
    return [
        (f"redis-cli --rdb of three replicas, {keys:,} keys (s)", middle["raw"], "", None),
        ("redis_backup to the manifest, store elsewhere, times as long", inside["elsewhere"] / middle["raw"], "<=", 1.5),
        ("redis_backup to the manifest, SeaweedFS on the same cores, times as long", inside["s3"] / middle["raw"], "<=", 1.9),
        ("the same with uncompressed_source, times as long", inside["plain"] / middle["raw"], "", None),
        ("processor seconds of the module beyond its start, in those of the raw limit", (used["s3"] - used["start"]) / raw_cpu, "<=", 0.6),
        ("processor seconds of the module from start to end, in those of the raw limit", used["s3"] / raw_cpu, "", None),
        ("redis-cli | zstd -1 | rclone rcat to SeaweedFS, times as long as redis_backup there", middle["rclone"] / inside["s3"], ">=", 1.0),
        ("redis-cli | zstd -1 to a directory in memory, times as long as redis_backup there", middle["typed"] / inside["elsewhere"], "", None),
        ("the guide's way, times as long as redis_backup with its verification", slow.seconds / verified, ">=", 10.0),
    ]


if __name__ == "__main__":      # by itself: python -m tests.benchmarks.backups
    from tests.benchmarks import costs
    from tests.fleet.local import lifecycle
    from tests.harness.targets import Fleet

    started = lifecycle.up()
    try:
        with tempfile.TemporaryDirectory(dir=paths.cache()) as name:
            place = {**Fleet().store_args, "store_url": f"s3://exalt-cache-backups/costs-{secrets.token_hex(6)}"}
            table = rows(Path(name), int(os.environ.get("BENCH_KEYS") or 600_000), int(os.environ.get("BENCH_ROUNDS") or 3), Fleet().store_args)
            for row in table + costs.rows(Path(name), place):
                print(f"  {row[0]:<90} {row[1]:8.2f}  {row[2]} {row[3] or ''}")
    finally:
        if started:
            lifecycle.down()
