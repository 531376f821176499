# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Health of every instance and its components (S007, S014 to S019), judged by the status itself (H20), never by a text found in it."""

from __future__ import annotations

import typing as t

from .._errors import CachingError, Unreachable, one_line
from .._service import Instance, Service
from .._wait import Deadline

_ENDPOINTS = {
    "liveness": "liveness", "readiness": "readiness", "redis": "redis_health", "database": "database_health", "diskSpace": "disk_health",
    "tls": "tls_health",   # the health of the service by its TLS port (S144, H53): its certificate is verified on the way
}
# What the health of a component answers with: 503 carries the status DOWN, 404 says that there is no such component.
_ANSWERS = (404, 503)
Report = dict[str, t.Any]


def look(service: Service, components: t.Sequence[str], limit: float | None) -> list[Report]:
    """One look at every instance: {name, url, status, components{}, error}. ``limit``: one attempt, of at most so many seconds."""
    return service.each(lambda instance: _inspect(service, instance, components, limit), service.processes)


def _inspect(service: Service, instance: Instance, components: t.Sequence[str], limit: float | None) -> Report:
    report: Report = {"name": instance.name, "url": instance.service, "status": "UNREACHABLE", "components": {}, "error": ""}
    try:
        body = _ask(service, instance, "health", limit)
        report["status"] = _status(body)
        parts = body.get("components") or body.get("details") or {}
        if isinstance(parts, dict):
            report["components"] = {str(name): _status(part) for name, part in parts.items() if isinstance(part, dict)}
            report["error"] = "; ".join(f"{name}: {why}" for name, part in parts.items() if (why := _why(part)))
        for component in components:
            body = _ask(service, instance, component, limit)
            if body.get("status") == "MISSING" and component in report["components"]:
                continue
            report["components"][component] = _status(body)
            if why := _why(body):
                report["error"] = f"{component}: {why}"
    except CachingError as error:
        report["error"] = error.message
        if report["status"] == "UNREACHABLE" and not isinstance(error, Unreachable):
            report["status"] = "UNKNOWN"   # it answers, but not with a status
    return report


def _ask(service: Service, instance: Instance, component: str, limit: float | None) -> Report:
    once = limit is not None
    if component == "health":
        answer = service.call("health", instance=instance, expect=(503,), passing=(), once=once, limit=limit)
    elif component in _ENDPOINTS:
        answer = service.call(_ENDPOINTS[component], instance=instance, expect=_ANSWERS, passing=(), once=once, limit=limit)
    else:
        answer = service.call("component_health", component=component, instance=instance, expect=_ANSWERS, passing=(), once=once, limit=limit)
    if answer.status == 404:
        return {"status": "MISSING"}
    body = answer.json()
    if not isinstance(body, dict):
        raise CachingError(f"{answer.method} {answer.url} answered {answer.status} without a status")
    return body


def _status(body: t.Mapping[str, t.Any]) -> str:
    found = body.get("status")
    if isinstance(found, dict):
        found = found.get("code")
    return one_line(found, 40).upper() if isinstance(found, str) and found else "UNKNOWN"


def _why(body: t.Any) -> str:
    if not isinstance(body, dict) or _status(body) == "UP":
        return ""
    details = body.get("details")
    found = details.get("error") or details.get("message") if isinstance(details, dict) else None
    return one_line(found, 160) if found else ""


def status_of(body: t.Any) -> tuple[str, str]:
    """The status in a body, and why it is not UP, where that is told."""
    return (_status(body), _why(body)) if isinstance(body, dict) else ("UNKNOWN", "")


def reasons(reports: t.Sequence[Report], components: t.Sequence[str]) -> dict[str, list[str]]:
    """Why each instance that is not healthy is not: {instance: [reason]}."""
    result: dict[str, list[str]] = {}
    for report in reports:
        bad = [f"status {report['status']}"] if report["status"] != "UP" else []
        seen = report["components"]
        wanted = dict.fromkeys([*components, *(name for name in seen if report["status"] != "UP")])
        told = {name: seen.get(name, "not seen") for name in wanted if name in seen or report["status"] == "UP"}
        bad += [f"{name} {status}" for name, status in told.items() if status != "UP"]
        if bad:
            result[report["name"]] = bad + ([report["error"]] if report["error"] else [])
    return result


def judge(service: Service, components: t.Sequence[str], timeout: float, require_all: bool, stable: float = 0) -> tuple[bool, list[Report], list[str]]:
    """Look until all instances (or one) are healthy, or the time is over: (healthy, reports, reasons).

    ``stable``: then look on for so many seconds; the first look at which they are not healthy is the verdict.
    """
    for component in components:
        if component in ("", ".", ".."):
            raise CachingError(f"components: {component!r} can't be the name of a component")
    deadline = Deadline(timeout)
    pause = 0.2
    while True:
        last_look = deadline.over
        reports = look(service, components, max(0.5, deadline.left) if timeout > 0 else None)
        bad = reasons(reports, components)
        healthy = not bad if require_all else len(bad) < len(reports)
        if healthy and stable:
            return _stays(service, components, require_all, stable)
        if healthy or last_look:
            return healthy, reports, [f"{name}: {', '.join(why)}" for name, why in bad.items()]
        deadline.pause(pause)
        pause = min(2.0, pause * 1.5)


def _stays(service: Service, components: t.Sequence[str], require_all: bool, stable: float) -> tuple[bool, list[Report], list[str]]:
    watched = Deadline(stable)
    while True:
        last_look = watched.over
        reports = look(service, components, None)
        bad = reasons(reports, components)
        healthy = not bad if require_all else len(bad) < len(reports)
        if not healthy or last_look:
            after = "" if healthy else f" (it was healthy {max(0.0, stable - watched.left):.0f} s before)"
            return healthy, reports, [f"{name}: {', '.join(why)}{after}" for name, why in bad.items()]
        watched.pause(0.5)
