# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Cron expressions of five fields: checked, compared by meaning, held against each other and against a clock that changes."""

from __future__ import annotations

import traceback
import typing as t
from datetime import datetime, timedelta, timezone

from ._errors import CachingError, one_line

try:
    from cronsim import CronSim, CronSimError

    CRONSIM_ERROR = None
except ImportError:
    CRONSIM_ERROR = traceback.format_exc()

try:
    import zoneinfo
except ImportError:
    zoneinfo = None  # type: ignore[assignment]

_MOST_STARTS = 400
_DAYS = 31
_MOST_PAIRS = 50


class Clock(t.NamedTuple):
    """A change of a zone's clock: local times from ``start`` to ``end`` do not exist (``gap``), or come twice."""

    start: datetime
    end: datetime
    gap: bool


def check(expression: str, where: str) -> str:
    """The expression with single blanks; an error names ``where``."""
    text = " ".join(str(expression).split())
    number = len(text.split())
    if number != 5:
        raise CachingError(
            f"{where}: {one_line(repr(expression), 60)} has {number} field{'s' * (number != 1)}; a cron expression here has five: "
            "minute, hour, day of month, month, day of week, as in 0 2 * * *"
        )
    try:
        next(CronSim(text, datetime(2026, 1, 1)))
    except (CronSimError, StopIteration) as error:
        why = f"{error}".lower() or "it never comes"
        raise CachingError(f"{where}: {one_line(repr(expression), 60)} is not a cron expression ({why})") from None
    return text


def normal(expression: t.Any) -> str:
    """A service's own expression in five fields where it can be brought to them (Spring writes seconds before)."""
    parts = str(expression).split()
    if len(parts) == 6 and parts[0] in ("0", "00"):
        parts = parts[1:]
    return " ".join("*" if part == "?" else part for part in parts)


def same(left: str, right: str) -> bool:
    """Whether both expressions start at the same times."""
    if left == right:
        return True
    try:
        one, other = (CronSim(text, datetime(2026, 1, 1)) for text in (left, right))
    except CronSimError:
        return False
    return _times(one) == _times(other)


def _times(schedule: CronSim) -> tuple[t.Any, ...]:
    """Sunday is both 0 and 7."""
    days = {0 if day == 7 else day for day in schedule.weekdays}
    return schedule.minutes, schedule.hours, schedule.days, schedule.months, days, schedule.day_and


def starts(expression: str, begin: datetime) -> list[datetime]:
    """The next starts within a month, some hundred at most."""
    found: list[datetime] = []
    for start in CronSim(expression, begin):
        if start > begin + timedelta(days=_DAYS) or len(found) >= _MOST_STARTS:
            break
        found.append(start)
    return found


def meetings(expressions: t.Mapping[str, str], window: timedelta, begin: datetime) -> dict[tuple[str, str], tuple[datetime, datetime]]:
    """Pairs of names, some dozens at most, with their first two starts that are less than ``window`` apart."""
    found: dict[tuple[str, str], tuple[datetime, datetime]] = {}
    if not window or len(expressions) < 2:
        return found
    last: dict[str, datetime] = {}
    for moment, name in sorted((moment, name) for name, text in expressions.items() for moment in starts(text, begin)):
        last = {other: before for other, before in last.items() if moment - before < window}
        for other, before in last.items():
            if other != name:
                pair = ((name, moment), (other, before)) if name < other else ((other, before), (name, moment))
                found.setdefault((pair[0][0], pair[1][0]), (pair[0][1], pair[1][1]))
        if len(found) >= _MOST_PAIRS:
            break
        last[name] = moment
    return found


def clock_changes(name: str, begin: datetime) -> list[Clock]:
    """How the clock of a time zone is changed within a year."""
    try:
        if zoneinfo is None or not name:
            raise KeyError
        zone = zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise CachingError(f"timezone: {one_line(repr(name), 60)} is not a time zone such as Europe/Berlin") from None
    moment = begin.replace(minute=0, second=0, microsecond=0, tzinfo=timezone.utc)
    found: list[Clock] = []
    before = moment.astimezone(zone).utcoffset() or timedelta()
    for _hour in range(366 * 24):
        moment += timedelta(hours=1)
        after = moment.astimezone(zone).utcoffset() or timedelta()
        if after != before:
            local = moment.replace(tzinfo=None)
            found.append(Clock(local + min(before, after), local + max(before, after), after > before))
            before = after
    return found


def touched(expression: str, change: Clock) -> datetime | None:
    """The first start that falls into a change of the clock; what starts every hour does not mind."""
    schedule = CronSim(expression, change.start - timedelta(seconds=1))
    if len(schedule.hours) >= 24:
        return None
    start = next(schedule, None)
    return start if start is not None and start < change.end else None
