# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cache_kpi_info against load that is counted here, too."""

from __future__ import annotations

import json
import statistics
import threading
import time
import typing as t
from collections.abc import Callable

import pytest
import redis

from tests.harness import process
from tests.harness.modules import ModuleResult, run_module
from tests.harness.sequence import accepted
from tests.harness.stage import REGIONS, Stage
from tests.harness.targets import Pair, Service

METRICS = ("S050", "S051", "S052", "S053", "S062", "S064", "S068", "S160", "S165")


class TooLong(Exception):
    """The load went on past the window: on a busy machine a longer one is needed."""


def under_load(target: Service, load: Callable[[], None], **options: t.Any) -> ModuleResult:
    """The module's result, with a load that begins after its first reading and ends before its last one."""
    found: list[ModuleResult] = []
    args = {**target.args, "single_instance": True, "window": "PT6S", **options}
    runner = threading.Thread(target=lambda: found.append(run_module("cache_kpi_info", args)))
    target.proxy.clear()
    runner.start()
    for _attempt in range(200):  # the requests metric is read last of the first reading
        if any(call.endswith("cache.requests") for call in target.proxy.calls()):
            break
        time.sleep(0.05)
    time.sleep(0.3)
    load()
    in_time = runner.is_alive()
    runner.join()
    if not in_time:
        raise TooLong
    return accepted(found[0])


def states(result: ModuleResult) -> dict[str, str]:
    return {kpi["name"]: kpi["state"] for kpi in result["kpis"]}


def values(result: ModuleResult) -> dict[str, float | None]:
    return {kpi["name"]: kpi["value"] for kpi in result["kpis"]}


def read(stage: Stage, region: str, hits: int, misses: int) -> None:
    for number in range(hits):
        stage.send("GET", f"{REGIONS}/{region}/keys/k{number % 5}")
    for number in range(misses):
        stage.send("GET", f"{REGIONS}/{region}/keys/none{number}")


@pytest.mark.operation(*METRICS)
@pytest.mark.hazard("H16", "H22")
def test_rates_are_those_that_the_load_generator_counted(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("products")
    stage.region("small", maxSize=40, evictionPolicy="LRU")
    stage.entries("products", [f"k{number}" for number in range(5)])
    read(stage, "products", hits=5, misses=50)  # before the window: it must not count

    def load() -> None:
        read(stage, "products", hits=180, misses=20)
        for number in range(60):
            stage.call("PUT", f"{REGIONS}/small/keys/n{number}", {"value": number, "ttl": "PT1H"})

    result = under_load(target, load)
    found = values(result)
    assert result["counted"]["hits"] == 180 and result["counted"]["misses"] == 20 and result["counted"]["requests"] == 260, result["counted"]
    assert found["hit_rate"] == pytest.approx(90, rel=0.02) and found["miss_rate"] == pytest.approx(10, rel=0.02)
    assert found["eviction_rate"] == pytest.approx(100 * 20 / 60, rel=0.02), "40 of 60 have room"
    assert found["response_time"] is not None and 0 < found["response_time"] < 1000 and found["memory_usage"] is not None
    regions = {region["name"]: region for region in result["regions"]}
    assert (regions["products"]["hits"], regions["products"]["misses"], regions["products"]["hit_rate"]) == (180, 20, 90)
    assert states(result)["hit_rate"] == "ok" and states(result)["eviction_rate"] == "critical" and states(result)["cpu_usage"] == "unknown"
    assert result["requests"]["write"] == 0 and target.proxy.writes() == []


@pytest.mark.hazard("H16")
def test_an_instance_that_starts_again_counts_with_what_it_has_done_since(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("products")
    stage.entries("products", [f"k{number}" for number in range(5)])
    read(stage, "products", hits=300, misses=100)

    def load() -> None:
        read(stage, "products", hits=80, misses=20)
        target.stop()
        target.start()
        read(stage, "products", hits=60, misses=15)

    result = under_load(target, load, window="PT8S")
    assert result["instances"][0]["restarted"] is True and result["instances"][0]["measured"] is True
    assert values(result)["hit_rate"] == pytest.approx(80, rel=0.02) and result["counted"]["hits"] == 60


class Load:
    """A load generator that counts what it does itself: hits, misses, writes that push an entry out, and how long each took."""

    def __init__(self, pair: Pair, pause_ms: int) -> None:
        self.stages = [Stage(member) for member in pair.members]
        self.primaries = [redis.Redis(host=node.host, port=node.port, password=pair.first.fleet.state.secret("redis_password"))
                          for node in pair.first.fleet.redis().get_primaries()]
        self.stages[0].region("products")
        self.stages[0].region("full", maxSize=10, evictionPolicy="LRU")
        self.stages[0].entries("products", [f"k{number}" for number in range(5)])
        self.stages[0].entries("full", [f"f{number}" for number in range(10)])
        self.pause_ms = pause_ms
        self.counted = dict.fromkeys(("hits", "misses", "puts", "evictions"), 0)
        self.milliseconds: list[float] = []

    def send(self, stage: Stage, kind: str, method: str, path: str, body: t.Any = None) -> None:
        for node in self.primaries:     # Redis holds every answer back so long: what a service then takes is known, and much more than what its clients add
            node.execute_command("CLIENT", "PAUSE", self.pause_ms, "ALL")
        started = time.monotonic()
        answer = stage.send(method, f"{REGIONS}/{path}", body)
        self.milliseconds.append(1000 * (time.monotonic() - started))
        assert answer.status == (404 if kind == "misses" else answer.status) and answer.status < 500
        self.counted[kind] += 1

    def step(self, stage: Stage, number: int) -> None:
        """The same mix each time: four reads of five are hits, and one write of two pushes an entry out."""
        for key in range(8):
            self.send(stage, "hits", "GET", f"products/keys/k{key % 5}")
        for key in range(2):
            self.send(stage, "misses", "GET", f"products/keys/none{key}")
        self.send(stage, "puts", "PUT", f"products/keys/new{number}-{stage.service.port}", {"value": number, "ttl": "PT1H"})
        self.send(stage, "puts", "PUT", f"full/keys/new{number}-{stage.service.port}", {"value": number, "ttl": "PT1H"})
        self.counted["evictions"] += 1

    def run(self, restarted: Service | None) -> None:
        """Four steps on each process; one of them may be started again when half is done."""
        for number in range(4):
            if restarted and number == 2:
                restarted.stop()
                restarted.start()
            for stage in self.stages:
                self.step(stage, number)

    @property
    def figures(self) -> dict[str, float]:
        reads = self.counted["hits"] + self.counted["misses"]
        return {
            "hit_rate": 100 * self.counted["hits"] / reads, "miss_rate": 100 * self.counted["misses"] / reads,
            "eviction_rate": 100 * self.counted["evictions"] / self.counted["puts"], "response_time": statistics.fmean(self.milliseconds),
        }


@pytest.mark.hazard("H16")
@pytest.mark.parametrize("restart", [False, True], ids=["calm", "restarted"])
def test_two_instances_within_two_percent_of_what_the_load_generator_counted(fleet, restart: bool) -> None:
    """Each figure; also where an instance is started again in the window, and what it had counted is lost."""
    pair = Pair(fleet, ["standard"])
    try:
        for window, pause_ms in (("PT20S", 100), ("PT60S", 500)):     # a machine that is busy needs a longer pause: what clients add weighs less
            pair.renew()
            load = Load(pair, pause_ms)
            try:
                result = under_load(pair.second, lambda: load.run(pair.second if restart else None), window=window,
                                    instances=pair.args["instances"], single_instance=False)
            except TooLong:
                continue
            found, own = values(result), load.figures
            if found["response_time"] == pytest.approx(own["response_time"], rel=0.02):
                break
    finally:
        pair.close()
    assert [instance["restarted"] for instance in result["instances"]] == [False, restart]
    lost = 0.75 if restart else 1        # of all that was done, a quarter was counted by the process that has gone
    assert result["counted"]["hits"] == load.counted["hits"] * lost and result["counted"]["evictions"] == load.counted["evictions"] * lost
    for name, value in own.items():
        assert found[name] == pytest.approx(value, rel=0.02), name


def test_every_state_of_a_figure_by_real_reads(service) -> None:
    """Five regions, each read so that its hit rate is in another state; the one that nobody reads is unknown, and never ok."""
    target = service()
    stage = Stage(target)
    reads = {"ok": (19, 1), "below_target": (33, 7), "warning": (15, 5), "critical": (10, 10), "unknown": (0, 0)}
    for name in reads:
        stage.region(name)
        stage.entries(name, [f"k{number}" for number in range(5)])

    def load() -> None:
        for name, (hits, misses) in reads.items():
            read(stage, name, hits, misses)

    result = under_load(target, load)
    assert {region["name"]: region["state"] for region in result["regions"] if region["name"] in reads} == {name: name for name in reads}
    assert result["verdict"] == states(result)["hit_rate"] == "warning", "77 of 100"


def test_every_state_and_what_makes_it_fail(service) -> None:
    target = service()
    Stage(target).region("products")
    platform = {"cpu_usage": 41.5, "network_io": 75, "disk_io": 71, "jvm_memory_usage": "99", "memory_usage": None}
    args = {**target.args, "single_instance": True, "window": 1, "measurements": platform}
    result = accepted(run_module("cache_kpi_info", args, check=True))
    assert {name: states(result)[name] for name in (*platform, "hit_rate")} == {
        "cpu_usage": "ok",
        "network_io": "below_target",
        "disk_io": "warning",
        "jvm_memory_usage": "critical",
        "memory_usage": "unknown",
        "hit_rate": "unknown",
    }
    assert result["verdict"] == "critical" and all(kpi["reason"] for kpi in result["kpis"] if kpi["state"] != "ok")
    failed = run_module("cache_kpi_info", {**args, "fail_on": "critical"})
    assert (
        failed["failed"] and failed["msg"] == "key figures are bad: jvm_memory_usage is critical: 99 % is above 95 %" and len(failed["kpis"]) == 9
    )
    raised = {**args, "thresholds": {"jvm_memory_usage": {"warning": 99, "critical": 99.5}}, "fail_on": "critical"}
    assert accepted(run_module("cache_kpi_info", raised))["verdict"] == "warning"
    strict = run_module("cache_kpi_info", {**raised, "unknown_is": "fail"})
    assert strict["failed"] and "hit_rate is unknown: nothing was read from the cache in the window" in strict["msg"]


def test_an_instance_that_does_not_answer_leaves_nothing_ok(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("products")
    stage.entries("products", ["k0", "k1", "k2", "k3", "k4"])
    dead = f"http://127.0.0.1:{process.free_port()}"
    instances = [{"name": "good", "url": target.url, "management_url": target.url}, {"name": "dead", "url": dead, "management_url": dead}]
    result = under_load(target, lambda: read(stage, "products", hits=50, misses=0), instances=instances, single_instance=False, retries=0)
    kpi = next(kpi for kpi in result["kpis"] if kpi["name"] == "hit_rate")
    assert kpi["value"] == 100 and kpi["state"] == "unknown" and "dead: GET" in kpi["reason"]
    assert [instance["measured"] for instance in result["instances"]] == [True, False]


def test_prometheus(service) -> None:
    target = service()

    def answered(body: str, status: int = 200) -> dict[str, t.Any]:
        target.proxy.break_with({"path": "/api/v1/query", "status": status, "body": body, "headers": {"Content-Type": "application/json"}})
        result = accepted(run_module("cache_kpi_info", {**target.args, "single_instance": True, "window": 1, "prometheus_url": target.url}))
        assert all(not record.get("role") for record in target.proxy.records() if "query" in record["path"]), "no token goes to Prometheus"
        return next(kpi for kpi in result["kpis"] if kpi["name"] == "cpu_usage")

    vector = {
        "status": "success",
        "data": {"resultType": "vector", "result": [{"value": [1, "12.5"]}, {"value": [1, "83"]}, {"value": [1, "NaN"]}]},
    }
    assert answered(json.dumps(vector))["state"] == "warning"
    assert answered(json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}))["reason"] == "Prometheus has no value for it"
    assert "answered 400: bad query" in answered('{"status":"error","error":"bad query"}', 400)["reason"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"window": "PT0S"}, "window: it goes from one second to an hour"),
        ({"window": "1 minute"}, "window: '1 minute' is not a duration"),
        ({"window": "P1M"}, "months and years have no fixed length"),
        ({"thresholds": {"hits": {"target": 5}}}, "thresholds: there is no figure 'hits'"),
        ({"thresholds": {"hit_rate": {"target": 50}}}, "must fall for hit_rate"),
        ({"measurements": {"cpu_usage": "high"}}, "measurements: cpu_usage must be a number"),
        ({"measurements": {"cpu": 5}}, "measurements: there is no figure 'cpu'"),
        ({"region_limit": -1}, "region_limit: it can't be negative"),
        ({"single_instance": False}, "instances: this acts on each process"),
        ({"prometheus_url": "prometheus"}, "prometheus_url: 'prometheus' is not a URL"),
        ({"prometheus_queries": {"cpu_usage": "x"}}, "they need prometheus_url"),
        ({"fail_on": "ever"}, "never, warning, critical"),
        ({"unknown_is": "ok"}, "pass, fail"),
        ({"thresholds": "high"}, "thresholds"),
    ],
)
def test_bad_input_is_one_clear_line(service, options: dict[str, t.Any], told: str) -> None:
    target = service()
    result = run_module("cache_kpi_info", {**target.args, "single_instance": True, "window": 1, **options})
    assert result["failed"] and not result.crashed and told in result["msg"] and "\n" not in result["msg"], result
    assert "internal error" not in result["msg"] and target.proxy.writes() == []
