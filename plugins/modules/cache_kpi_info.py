#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_kpi_info
short_description: Measure and judge the nine key figures of a Caching Service
description:
  - Reads the counters of every instance twice, O(window) apart, and judges what happened between. An instance that was
    started again in the window counts with what it has done since, so no figure is negative or above 100 percent.
  - The hit rate is hits of hits and misses. The response time is the mean of all requests. Memory is that of Redis against
    its maxmemory. The eviction rate is, of the entries that were written, the share that pushed another one out. The JVM's
    memory is that of the fullest instance.
  - CPU, network and disk are not known to the service. They come from O(measurements) or O(prometheus_url).
  - What was not measured is V(unknown), with the reason, and never V(ok). Where an instance is missing, the others can show
    that a figure is bad, but not that it is good.
  - Operations S048, S049, S050, S052, S053, S062, S064, S068, S160 and S165 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  window:
    description: How long to measure. ISO-8601 or seconds, from one second to an hour.
    type: str
    default: PT60S
  thresholds:
    description:
      - "Other limits than those of the guide, by figure, each with some of V(target), V(warning) and V(critical); what is left out
        stays, and they must be in order. The figures are V(hit_rate), V(miss_rate), V(response_time), V(memory_usage), V(eviction_rate), V(cpu_usage),
        V(jvm_memory_usage), V(network_io) and V(disk_io)."
    type: dict
    default: {}
  measurements:
    description: Figures that the platform has measured, a number (or null) for each name. They stand for those of the service too.
    type: dict
    default: {}
  prometheus_url:
    description: A Prometheus server to ask for the figures of the system. No token is sent to it.
    type: str
  prometheus_queries:
    description:
      - Other queries than the built-in ones, by figure; V({window}) in them becomes the window. The highest value counts.
      - Built in are C(process_cpu_usage) of Micrometer, and transmitted bytes against the speed of the device and the time
        spent on disk operations of the node exporter.
    type: dict
    default: {}
  region_limit:
    description:
      - Measure each region too, where there are no more of them than this; it takes two requests for each, instance and reading.
    type: int
    default: 50
  unknown_is:
    description:
      - Whether an unknown figure passes, and is left out of RV(verdict), or counts as a failure for O(fail_on).
    type: str
    choices: [pass, fail]
    default: pass
  fail_on:
    description: From which state on the module fails.
    type: str
    choices: [never, warning, critical]
    default: never
  single_instance:
    description: O(service_url) leads to the only process there is. Else O(instances) are needed, as each counts for itself.
    type: bool
    default: false
extends_documentation_fragment:
  - exalt.caching.attributes.info
  - exalt.caching.service
"""

EXAMPLES = r"""
- name: Fail where a key figure is critical
  exalt.caching.cache_kpi_info:
    instances:
      - url: https://10.0.0.11:8403
      - url: https://10.0.0.12:8403
    window: PT2M
    prometheus_url: http://prometheus:9090
    fail_on: critical

- name: A stricter hit rate, and the CPU as the platform has measured it
  exalt.caching.cache_kpi_info:
    service_url: https://caching-service:8403
    single_instance: true
    thresholds: {hit_rate: {target: 95, warning: 90}}
    measurements: {cpu_usage: 41.5}
"""

RETURN = r"""
kpis:
  description: The nine figures.
  returned: always when it was measured
  type: list
  elements: dict
  contains:
    name: {description: Name of the figure., type: str}
    value: {description: 'The value, or null.', type: float}
    unit: {description: percent or milliseconds., type: str}
    state: {description: 'V(ok), V(below_target), V(warning), V(critical) or V(unknown).', type: str}
    target: {description: What good means., type: float}
    warning: {description: Where a warning begins., type: float}
    critical: {description: Where it is critical., type: float}
    reason: {description: Why it is not ok., type: str}
verdict:
  description: The worst state. Unknown ones are left out with O(unknown_is=pass), unless there are no others.
  returned: always when it was measured
  type: str
regions:
  description: Each region with its hits, misses, hit_rate (null where nothing was read) and state.
  returned: always when it was measured
  type: list
  elements: dict
  sample: [{name: products, hits: 912, misses: 88, hit_rate: 91.2, state: ok}]
regions_reason:
  description: Why there are no regions.
  returned: always when it was measured
  type: str
instances:
  description: Each instance, whether it was measured, whether it was started again in the window, and why it was not measured.
  returned: always when it was measured
  type: list
  elements: dict
  sample: [{name: caching-service-1, url: 'http://10.0.0.11:8403', measured: true, restarted: false, error: ''}]
counted:
  description: What all instances did in the window (requests, hits, misses, puts, evictions).
  returned: always when it was measured
  type: dict
window_seconds:
  description: How far apart the two readings really were.
  returned: always when it was measured
  type: float
requests:
  description: Requests that were sent, repeats included.
  returned: always
  type: dict
  sample: {read: 60, write: 0}
"""

from ansible_collections.exalt.caching.plugins.module_utils import _kpi
from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._duration import parse
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources import kpis
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    params = run.params
    seconds = float(parse(params["window"], "window"))
    if not 1 <= seconds <= 3600:
        raise CachingError("window: it goes from one second to an hour")
    if params["region_limit"] < 0:
        raise CachingError("region_limit: it can't be negative")
    limits, measured = _kpi.thresholds(params["thresholds"]), _kpi.measured(params["measurements"])
    if params["prometheus_queries"] and not params["prometheus_url"]:
        raise CachingError("prometheus_queries: they need prometheus_url")
    instances = run.service.every_process(params["single_instance"])
    found = {}
    if params["prometheus_url"]:
        found = kpis.prometheus(run.service, params["prometheus_url"], params["prometheus_queries"], seconds)
    window = kpis.Window(run.service, instances, params["region_limit"])
    window.measure(seconds)
    strict = params["unknown_is"] == "fail"
    result = kpis.result(window, {**found, **measured}, limits, strict)
    failed = kpis.failure(result["kpis"], params["fail_on"], strict)
    if failed:
        raise CachingError(f"key figures are bad: {failed}", **result)
    return {"changed": False, **result}


def main():
    run_main(
        work,
        spec(
            "service",
            window={"type": "str", "default": "PT60S"},
            thresholds={"type": "dict", "default": {}},
            measurements={"type": "dict", "default": {}},
            prometheus_url={"type": "str"},
            prometheus_queries={"type": "dict", "default": {}},
            region_limit={"type": "int", "default": 50},
            unknown_is={"type": "str", "choices": ["pass", "fail"], "default": "pass"},
            fail_on={"type": "str", "choices": ["never", "warning", "critical"], "default": "never"},
            single_instance={"type": "bool", "default": False},
        ),
    )


if __name__ == "__main__":
    main()
