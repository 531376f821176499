# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What endpoints serve, judged: problems, days left, figures. Pure functions on data."""

from __future__ import annotations

import math
import typing as t

from ._cert_model import Facts, moment
from ._cert_names import Name, uncovered
from ._cert_policy import span

Row = dict[str, t.Any]
_DAY = 86400.0


class Limits(t.NamedTuple):
    """Seconds before the end from which on it is told, and from which on it is a failure (None: never)."""

    warn: float
    fail: float | None = None


class Look(t.NamedTuple):
    """One look at one endpoint. ``facts``: of each certificate that was served, the leaf first."""

    endpoint: str
    facts: tuple[Facts, ...] = ()
    chain_problem: str = ""
    name_problem: str = ""
    problem: str = ""
    status: int | None = None


def row(look: Look, names: t.Sequence[Name], expected: str, limits: Limits, now: float) -> Row:
    """One endpoint as the results show it. Without problems it serves what is declared, to clients that verify."""
    problems = [look.problem] if look.problem else []
    leaf = look.facts[0] if look.facts else None
    if leaf is None:
        return {**_blank(look), "problems": problems or ["it showed no certificate"]}
    if look.chain_problem:
        problems.append(f"clients refuse its chain: {look.chain_problem}")
    missing = uncovered(leaf.names, names)
    if missing:
        problems.append(f"it is not valid for {', '.join(missing)}")
    elif look.name_problem:
        problems.append(look.name_problem)
    if expected and plain(expected) != leaf.fingerprint:
        problems.append(f"it serves {leaf.fingerprint[:16]}…, expected is {plain(expected)[:16]}…")
    if look.status is not None and not 200 <= look.status < 300:
        problems.append(f"it answered with {look.status}")
    ends = min(look.facts, key=lambda one: one.not_after)
    left = ends.not_after - now
    whose = "it" if ends is leaf else f"{ends.subject} in its chain"
    if left <= 0:
        problems.append(f"{whose} expired on {moment(ends.not_after)}")
    elif left <= limits.warn:
        problems.append(f"{whose} expires in {span(left)}, on {moment(ends.not_after)}")
    if leaf.not_before > now:
        problems.append(f"it is valid from {moment(leaf.not_before)} only")
    return {
        **_blank(look), "fingerprint": leaf.fingerprint, "serial": leaf.serial, "names": [str(name) for name in leaf.names],
        "subject": leaf.subject, "issuer": leaf.issuer, "not_before": moment(leaf.not_before), "not_after": moment(leaf.not_after),
        "days_left": math.floor(left / _DAY * 10) / 10, "chain_ok": not look.chain_problem, "names_ok": _names_ok(look, names, missing),
        "expected": plain(expected) == leaf.fingerprint if expected else None, "status": look.status,
        "chain": [{"subject": one.subject, "fingerprint": one.fingerprint, "not_after": moment(one.not_after)} for one in look.facts],
        "problems": problems,
    }


def _names_ok(look: Look, names: t.Sequence[Name], missing: t.Sequence[str]) -> bool | None:
    """None where no name was compared: a chain that is refused ends a handshake before that."""
    if missing or look.name_problem:
        return False
    return None if look.chain_problem and not names else True


def _blank(look: Look) -> Row:
    return {"endpoint": look.endpoint, "reachable": not look.problem, "fingerprint": None, "serial": None, "names": [], "subject": None, "issuer": None,
            "not_before": None, "not_after": None, "days_left": None, "chain_ok": False, "names_ok": False, "expected": None, "status": None,
            "chain": []}


def plain(fingerprint: str) -> str:
    """A fingerprint in the form of the results: colons and capitals make no difference."""
    return fingerprint.replace(":", "").strip().lower()


def failures(looks: t.Sequence[Look], limits: Limits, now: float) -> list[str]:
    """The endpoints whose certificate, or one above it, ends within the limit for failing."""
    found = []
    for look in looks:
        left = min((one.not_after - now for one in look.facts), default=math.inf)
        if limits.fail is not None and left <= limits.fail:
            found.append(f"{look.endpoint} {'expired' if left <= 0 else f'expires in {span(left)}'}")
    return found


def metrics(rows: t.Sequence[Row]) -> list[Row]:
    """Gauges, one for each endpoint and name."""
    found = []
    for one in rows:
        labels = {"endpoint": one["endpoint"]}
        found.append({"name": "exalt_cache_certificate_ok", "labels": labels, "value": int(not one["problems"])})
        if one["days_left"] is not None:
            found.append({"name": "exalt_cache_certificate_chain_ok", "labels": labels, "value": int(one["chain_ok"])})
            found.append({"name": "exalt_cache_certificate_days_left", "labels": labels, "value": one["days_left"]})
    return found
