# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which backups a policy keeps, and why. Pure functions. Periods are those of UTC."""

from __future__ import annotations

import datetime
import typing as t

from ._errors import CachingError


WAY_BACK = 86400   # seconds for which a restore that was cut off comes back to its safety backup


class Candidate(t.NamedTuple):
    """A backup as retention sees it. ``at``: milliseconds since 1970; ``problem``: why it counts for nothing."""

    id: str
    kind: str
    at: int
    held: bool = False
    problem: str = ""


class Policy(t.NamedTuple):
    """How many to keep of each period, and everything younger than ``within`` seconds."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    within: float = 0.0


def checked(policy: Policy, minimum: int) -> Policy:
    for name, value in policy._asdict().items():
        if value < 0:
            raise CachingError(f"keep_{name}: it can't be negative")
    if minimum < 1:
        raise CachingError("minimum_redundancy: at least one backup has to stay")
    if not any(policy):
        raise CachingError("the policy keeps nothing: give keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly or keep_within")
    return policy


def _periods(moment: datetime.datetime) -> dict[str, str]:
    year, week, _day = moment.isocalendar()
    return {"hourly": moment.strftime("%Y-%m-%dT%H"), "daily": moment.strftime("%Y-%m-%d"), "weekly": f"{year}-W{week:02}",
            "monthly": moment.strftime("%Y-%m")}


def decide(found: t.Iterable[Candidate], policy: Policy, safe: t.Mapping[str, str], now: int) -> dict[str, str]:
    """Why each one is kept; an empty text for what may go. ``safe`` are kept whatever the policy says, with their reasons.

    Each kind is counted for itself. What has a problem fills no period and is left to people; so is what claims to be of the
    future: it must not push a good one out.
    """
    rows = sorted(found, key=lambda one: (one.at, one.id), reverse=True)
    reasons = {one.id: "" for one in rows}
    used: dict[tuple[str, str], set[str]] = {}
    for one in rows:
        told = [safe[one.id]] if one.id in safe else []
        if one.held:
            told.append("held")
        if one.problem:
            reasons[one.id] = "; ".join([*told, f"a problem: {one.problem}"])
            continue
        if not any(other.kind == one.kind and not other.problem and (other.at, other.id) > (one.at, one.id) for other in rows):
            told.append(f"the newest of its kind ({one.kind})")
        moment = datetime.datetime.fromtimestamp(one.at / 1000, datetime.timezone.utc)
        for name, key in {"last": one.id, **_periods(moment)}.items():
            seen = used.setdefault((one.kind, name), set())
            if key not in seen and len(seen) < getattr(policy, name):
                seen.add(key)
                told.append(f"keep_{name} ({len(seen)} of {getattr(policy, name)})")
        if one.kind == "safety" and 0 <= now - one.at < WAY_BACK * 1000:
            told.append("a way back, younger than a day")
        if policy.within and now - one.at < policy.within * 1000:
            told.append("keep_within")
        reasons[one.id] = "; ".join(told)
    return reasons
