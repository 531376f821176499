#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_report
short_description: Performance report of a Caching Service, as JSON and as a page
description:
  - Writes one report for each date and period, as JSON by a published schema (C(docs/report.schema.json)) and as one HTML page
    that opens without a network. A report that is there already is kept, so a second run changes nothing.
  - Where an earlier report of the same period is in O(destination), the figures cover the time since that one, by the counters
    that it keeps. Else they cover a O(window). An instance that was started again counts with what it has done since.
  - What the service does not tell is null in the report, with the reason.
  - A report is sent once to each receiver. A failed publication fails the module, and the report is kept; the next run sends it.
  - Operations S054, S055, S056, S057, S058 and S073 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  period:
    description: What kind of report it is. A V(weekly) one holds the service's own weekly report too.
    type: str
    choices: [daily, weekly]
    default: daily
  destination:
    description: Directory of the reports of this fleet, on the host where the module runs. It is made where it is missing.
    type: path
    required: true
  date:
    description:
      - Date of the report (UTC), as in V(2026-11-23); today by default. Only today can be measured. An earlier one that is in
        O(destination) can be sent, or given a page, later.
    type: str
  title:
    description: What the report is about, such as the name of the fleet.
    type: str
    default: Caching service
  formats:
    description: What to write. V(json) is always written, as the page, the trend and the next report are made from it.
    type: list
    elements: str
    choices: [json, html]
    default: [json, html]
  compare_with:
    description: How many earlier reports the trend shows.
    type: int
    default: 14
  publish_url:
    description:
      - Where to send the report, by POST as JSON with the header C(Idempotency-Key). An answer 409 says that it is there already.
    type: str
  publish_token:
    description: Bearer token for O(publish_url). The tokens of the service are never sent there.
    type: str
  window:
    description: How long to measure where there is no earlier report. ISO-8601 or seconds, from one second to an hour.
    type: str
    default: PT60S
  thresholds:
    description: Other limits than those of the guide, as in M(exalt.caching.cache_kpi_info).
    type: dict
    default: {}
  measurements:
    description: Figures that the platform has measured, as in M(exalt.caching.cache_kpi_info).
    type: dict
    default: {}
  prometheus_url:
    description: A Prometheus server to ask for the figures of the system, as in M(exalt.caching.cache_kpi_info).
    type: str
  region_limit:
    description: Measure the hit rate of each region, where there are no more of them than this.
    type: int
    default: 50
  single_instance:
    description: O(service_url) leads to the only process there is. Else O(instances) are needed, as each counts for itself.
    type: bool
    default: false
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.service
requirements:
  - jinja2 >= 3.0
  - jsonschema >= 4.0
  - pygal >= 3.0
"""

EXAMPLES = r"""
- name: Today's report, sent to the monitoring service
  exalt.caching.cache_report:
    service_url: https://caching-service:8403
    instances:
      - url: https://10.0.0.11:8403
      - url: https://10.0.0.12:8403
    destination: /var/lib/exalt-caching/reports/production-eu
    title: production-eu
    publish_url: http://monitoring-service:8080/reports/cache

- name: Send an older one again to somebody else
  exalt.caching.cache_report:
    service_url: https://caching-service:8403
    single_instance: true
    destination: /var/lib/exalt-caching/reports/production-eu
    date: "2026-11-20"
    publish_url: https://archive.example.com/reports/cache
"""

RETURN = r"""
date:
  description: Date of the report (UTC).
  returned: always when the options can be meant
  type: str
json_path:
  description: The report.
  returned: always when the options can be meant
  type: str
html_path:
  description: The page; null where it is not wanted.
  returned: always when the options can be meant
  type: str
published:
  description: Whether it has been sent to O(publish_url), by this run or an earlier one. In check mode, as it is now.
  returned: always when the options can be meant
  type: bool
verdict:
  description: The worst state of the key figures; null in check mode, where nothing is measured.
  returned: success
  type: str
unknown:
  description: The key figures that are not known, so RV(verdict) leaves them out unless there are no others.
  returned: success
  type: list
  elements: str
missing:
  description: What is null in the report, and why.
  returned: success
  type: dict
summary:
  description: What was written and where it was published by this run; in check mode, what would be.
  returned: success
  type: dict
  sample: {written: [/var/lib/exalt-caching/reports/production-eu/cache-report-daily-2026-11-23.json], published: []}
requests:
  description: Requests that were sent, repeats included.
  returned: always
  type: dict
  sample: {read: 70, write: 1}
"""

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.exalt.caching.plugins.module_utils import _kpi, _report_page
from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._duration import parse
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources import kpis, report
from ansible_collections.exalt.caching.plugins.module_utils._run import apply
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    params = run.params
    if report.JSONSCHEMA_ERROR:
        raise CachingError(missing_required_lib("jsonschema"))
    if _report_page.PAGE_ERROR and "html" in params["formats"]:
        raise CachingError(missing_required_lib("jinja2 and pygal"))
    seconds = float(parse(params["window"], "window"))
    if not 1 <= seconds <= 3600:
        raise CachingError("window: it goes from one second to an hour")
    if params["region_limit"] < 0:
        raise CachingError("region_limit: it can't be negative")
    limits, measured = _kpi.thresholds(params["thresholds"]), _kpi.measured(params["measurements"])
    reports = report.Reports(params, run.warn)
    instances = run.service.every_process(params["single_instance"])
    needed = reports.needed
    done = {}

    def told():
        now = reports.existing or {}
        return {
            "published": bool(reports.publish_url) and not reports.needs_sending,
            "verdict": now.get("verdict"),
            "unknown": [kpi["name"] for kpi in now.get("kpis", []) if kpi["state"] == "unknown"],
            "missing": now.get("missing", {}),
        }

    def act():
        if reports.existing is None:
            others = kpis.prometheus(run.service, params["prometheus_url"], {}, seconds) if params["prometheus_url"] else {}
            found = report.build(reports, run.service, instances, params, limits, {**others, **measured}, seconds)
            reports.write(found)
            reports.existing, done["json"] = found, reports.json_path
        if reports.needs_page:
            reports.write_page(reports.existing)
            done["html"] = reports.html_path
        if reports.needs_sending:
            try:
                reports.send(run.service, params["publish_token"])
            except CachingError as error:
                raise CachingError(
                    f"the report {reports.json_path} is kept, but was not published: {error.message}; run again to send it",
                    changed=bool(done),
                    diff={"before": {}, "after": done},
                    **reports.results,
                    **told(),
                ) from None
        return told()

    summary = {
        "written": [needed[name] for name in ("json", "html") if name in needed],
        "published": [needed[name] for name in needed if name == "published"],
    }
    return apply(run, bool(needed), {"diff": {"before": {}, "after": needed}, "summary": summary, **reports.results, **told()}, act)


def main():
    run_main(
        work,
        spec(
            "service",
            period={"type": "str", "choices": ["daily", "weekly"], "default": "daily"},
            destination={"type": "path", "required": True},
            date={"type": "str"},
            title={"type": "str", "default": "Caching service"},
            formats={"type": "list", "elements": "str", "choices": ["json", "html"], "default": ["json", "html"]},
            compare_with={"type": "int", "default": 14},
            publish_url={"type": "str"},
            publish_token={"type": "str", "no_log": True},
            window={"type": "str", "default": "PT60S"},
            thresholds={"type": "dict", "default": {}},
            measurements={"type": "dict", "default": {}},
            prometheus_url={"type": "str"},
            region_limit={"type": "int", "default": 50},
            single_instance={"type": "bool", "default": False},
        ),
    )


if __name__ == "__main__":
    main()
