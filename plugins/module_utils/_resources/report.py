# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The performance report (S054 to S058, S073): made once for each date, kept, sent once to each receiver."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import time
import traceback
import typing as t

from .. import _kpi, _report_page
from .._errors import CachingError, describe_body, one_line
from .._http import check_url
from .._kpi_window import Reading
from .._report_schema import SCHEMA, VERSION
from .._service import Instance, Service
from .._store import Directory
from .kpis import Window, result
from .regions import Regions, shown

try:
    import jsonschema

    JSONSCHEMA_ERROR = None
except ImportError:
    JSONSCHEMA_ERROR = traceback.format_exc()

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_ALREADY = (200, 201, 202, 204, 208, 409)
_Report = dict[str, t.Any]


class Reports:
    """The reports of one period in one directory."""

    def __init__(self, params: t.Mapping[str, t.Any], warn: t.Callable[[str], None]) -> None:
        self.period: str = params["period"]
        if not (params["destination"] or "").strip():
            raise CachingError("destination: give a directory")
        self.folder: str = os.path.abspath(params["destination"])
        if os.path.lexists(self.folder) and not os.path.isdir(self.folder):
            raise CachingError(f"destination: {self.folder} is not a directory")
        self.files = Directory(self.folder)
        today = time.strftime("%Y-%m-%d", time.gmtime())
        self.date = _checked_date(params["date"]) if params["date"] else today
        self.publish_url = check_url(params["publish_url"], "publish_url") if params["publish_url"] else ""
        if not params["formats"]:
            raise CachingError("formats: give json, html or both")
        if not 0 <= params["compare_with"] <= 366:
            raise CachingError("compare_with: it goes from 0 to 366 earlier reports")
        self.html_wanted = "html" in params["formats"]
        self.warn = warn
        self.existing = self._load(self.date)
        if self.existing is None and self.date != today:
            raise CachingError(
                f"date: there is no {self.period} report of {self.date} in {self.folder}, and only today ({today}, UTC) can be measured"
            )
        self.earlier = self._earlier(params["compare_with"])

    def _name(self, date: str, ending: str) -> str:
        return f"cache-report-{self.period}-{date}{ending}"

    @property
    def json_path(self) -> str:
        return os.path.join(self.folder, self._name(self.date, ".json"))

    @property
    def html_path(self) -> str | None:
        return os.path.join(self.folder, self._name(self.date, ".html")) if self.html_wanted else None

    @property
    def _marker(self) -> str:
        receiver = hashlib.sha256(self.publish_url.encode()).hexdigest()[:12]
        return self._name(self.date, f".published-{receiver}.json")

    @property
    def needs_page(self) -> bool:
        return self.html_path is not None and not os.path.exists(self.html_path)

    @property
    def needs_sending(self) -> bool:
        return bool(self.publish_url) and self.files.get(self._marker) is None

    @property
    def needed(self) -> dict[str, str]:
        """What is not there yet."""
        wanted = {
            "json": self.json_path if self.existing is None else "",
            "html": (self.html_path or "") if self.needs_page else "",
            "published": self.publish_url if self.needs_sending else "",
        }
        return {name: where for name, where in wanted.items() if where}

    def _load(self, date: str) -> _Report | None:
        """A report of this directory; None where there is none. One that is none of ours can't be overwritten or compared with."""
        content = self.files.get(self._name(date, ".json"))
        if content is None:
            return None
        try:
            found = json.loads(content)
            check(found)
        except (ValueError, CachingError) as error:
            if date == self.date:
                raise CachingError(f"{self.json_path} is there, but is no report: {one_line(error, 160)}; move it away") from None
            self.warn(f"{self._name(date, '.json')} is left out of the trend: it is no report ({one_line(error, 160)})")
            return None
        return t.cast(_Report, found)

    def _earlier(self, most: int) -> list[_Report]:
        """The reports before this one, oldest first."""
        start = self._name("", "")
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        dates = sorted(name[len(start) : -5] for name in names if name.startswith(start) and name.endswith(".json"))
        wanted = [date for date in dates if _DATE.fullmatch(date) and date < self.date]
        return [found for date in wanted[-most:] if (found := self._load(date)) is not None] if most else []

    def write(self, report: _Report) -> None:
        content = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        if not self.files.put_if_absent(self._name(self.date, ".json"), content):
            raise CachingError(f"another run has made {self.json_path} at the same time; run again")
        os.chmod(self.json_path, 0o644)

    def write_page(self, report: _Report) -> None:
        self.files.put(self._name(self.date, ".html"), _report_page.render(report).encode())
        if self.html_path:
            os.chmod(self.html_path, 0o644)

    def send(self, service: Service, token: str | None) -> None:
        """Once to each receiver: a key names the report, so that a repeat can be told from another one."""
        content = self.files.get(self._name(self.date, ".json")) or b""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Idempotency-Key": self._name(self.date, "")}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        answer = service.http.send("POST", [self.publish_url], headers=headers, body=content, repeatable=True)
        if answer.status not in _ALREADY:
            reason = describe_body(answer.body, answer.headers.get("content-type", ""))
            raise CachingError(f"{self.publish_url} answered {answer.status}: {reason}")
        marker = {
            "url": self.publish_url,
            "sha256": hashlib.sha256(content).hexdigest(),
            "status": answer.status,
            "published_at": _stamp(time.time()),
        }
        self.files.put(self._marker, json.dumps(marker).encode() + b"\n")

    @property
    def results(self) -> dict[str, t.Any]:
        return {"date": self.date, "json_path": self.json_path, "html_path": self.html_path}


def check(report: t.Any) -> None:
    """Raise unless it is a report by the schema."""
    if JSONSCHEMA_ERROR:
        return
    worst = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(SCHEMA).iter_errors(report))
    if worst is not None:
        raise CachingError(f"{worst.json_path}: {one_line(worst.message, 120)}")


def build(
    reports: Reports,
    service: Service,
    instances: t.Sequence[Instance],
    params: t.Mapping[str, t.Any],
    limits: t.Mapping[str, _kpi.Threshold],
    others: t.Mapping[str, _kpi.Figure],
    seconds: float,
) -> _Report:
    """Measure and put together. Every part that can't be had is null, with its reason."""
    window = Window(service, instances, params["region_limit"])
    before = reports.earlier[-1] if reports.earlier else None
    begin = _begin(before, instances) if before else {}
    if begin:
        window.first = begin
        window.read()
    else:
        window.measure(seconds)
    found = result(window, others, limits, unknown_counts=False)
    missing: dict[str, str] = {kpi["name"]: kpi["reason"] for kpi in found["kpis"] if kpi["value"] is None}
    before_values = {kpi["name"]: kpi["value"] for kpi in before["kpis"]} if before else {}
    for kpi in found["kpis"]:
        value, old = kpi["value"], before_values.get(kpi["name"])
        kpi["change"] = None if value is None or old is None else round(value - old, 3)
    now = time.time()
    report: _Report = {
        "schema_version": VERSION,
        "period": reports.period,
        "date": reports.date,
        "title": params["title"],
        "generated_at": _stamp(now),
        "measured": {
            "from": _stamp(now - window.seconds),
            "to": _stamp(now),
            "seconds": found["window_seconds"],
            "since": "report" if begin else "window",
        },
        "verdict": found["verdict"],
        "kpis": found["kpis"],
        "counted": {name: found["counted"].get(name) for name in ("requests", "hits", "misses", "puts", "evictions")},
        "gauges": _gauges(window.last, missing),
        "regions": _part(missing, "regions", lambda: _regions(service, found["regions"], window.regions_reason, missing)),
        "instances": found["instances"],
        "top_regions": _part(missing, "top_regions", lambda: service.call("top_regions").json()),
        "recommendations": _part(missing, "recommendations", lambda: service.call("recommendations").json()),
        "weekly_report": None,
        "trend": [],
        "missing": missing,
        "readings": {
            name: {"at": reading.at, "counters": reading.counters, "regions": reading.regions}
            for name, reading in window.last.items()
            if not reading.error
        },
    }
    if reports.period == "weekly":
        report["weekly_report"] = _part(missing, "weekly_report", lambda: service.call("weekly_report", repeatable=True).json())
    else:
        missing["weekly_report"] = "this is a daily report"
    report["trend"] = [_point(one) for one in [*reports.earlier, report]]
    check(report)
    return report


def _begin(before: _Report, instances: t.Sequence[Instance]) -> dict[str, Reading]:
    """Where the report before has ended. An instance that it did not know counts from its start, where it tells that."""
    found = before["readings"]
    if not any(instance.name in found for instance in instances):
        return {}
    new = Reading(min(reading["at"] for reading in found.values()), {}, {}, {}, {}, error="it is not in the report before")
    begin = {}
    for instance in instances:
        old = found.get(instance.name)
        begin[instance.name] = Reading(old["at"], old["counters"], {}, old["regions"], {}) if old else new
    return begin


def _part(missing: dict[str, str], name: str, read: t.Callable[[], t.Any]) -> t.Any:
    try:
        found = read()
    except CachingError as error:
        missing[name] = error.message
        return None
    if found is None:
        missing[name] = "the service answered with nothing"
    return found


def _gauges(readings: t.Mapping[str, Reading], missing: dict[str, str]) -> dict[str, float | None]:
    """The cluster's own are the same from everywhere; connections and the JVM's are the sum of the instances."""
    told: dict[str, float | None] = {}
    for name in ("entries", "connections", "connections_active", "redis_used", "redis_max", "jvm_used", "jvm_max"):
        values = [reading.gauges[name] for reading in readings.values() if name in reading.gauges]
        summed = name.startswith(("connections", "jvm"))
        told[name] = None if not values else sum(values) if summed else max(values)
        if not values:
            reasons = [reading.lacks.get(name) or reading.error for reading in readings.values()]
            missing[name] = next((reason for reason in reasons if reason), "no instance tells it")
    return told


def _regions(service: Service, rates: t.Sequence[_Report], rates_reason: str, missing: dict[str, str]) -> list[_Report]:
    by_name = {rate["name"]: rate for rate in rates}
    found: list[_Report] = []
    for name, entry in sorted(Regions(service).read().items()):
        seen, rate = shown(name, entry), by_name.get(name, {})
        found.append(
            {
                "name": name,
                **{field: seen.get(field) for field in ("size", "max_size", "memory_usage", "default_ttl")},
                **{field: rate.get(field) for field in ("hits", "misses", "hit_rate")},
            }
        )
    if rates_reason:
        missing["regions.hit_rate"] = rates_reason
    return found


def _point(report: _Report) -> _Report:
    return {"date": report["date"], "requests": report["counted"]["requests"], "values": {kpi["name"]: kpi["value"] for kpi in report["kpis"]}}


def _checked_date(text: str) -> str:
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        datetime.date.fromisoformat(text)
    except ValueError:
        raise CachingError(f"date: {one_line(repr(text), 40)} is not a date such as 2026-11-23") from None
    return text


def _stamp(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
