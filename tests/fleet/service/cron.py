# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cron expressions of five fields, in UTC: `0 2 * * *`, with lists, ranges, steps and English names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_DAYS = "SUN MON TUE WED THU FRI SAT".split()
_FIELDS: tuple[tuple[int, int, Sequence[str]], ...] = (
    (0, 59, ()), (0, 23, ()), (1, 31, ()), (1, 12, _MONTHS), (0, 7, _DAYS),
)


def _number(text: str, low: int, names: Sequence[str]) -> int:
    if text.upper() in names:
        return names.index(text.upper()) + low
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"'{text}' is no number")
    return int(text)


def _values(text: str, low: int, high: int, names: Sequence[str]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, 0, ()) if slash else 1
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = _number(first, low, names)
            end = _number(last, low, names) if dash else (high if slash else start)
        if not low <= start <= end <= high or step < 1:
            raise ValueError(f"'{part}' is outside {low}-{high}")
        found.update(range(start, end + 1, step))
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Cron:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # Sunday is 0
    either_day: bool  # both kinds of day are restricted: one of them is enough

    def on_day(self, moment: datetime) -> bool:
        by_month_day, by_weekday = moment.day in self.days, moment.isoweekday() % 7 in self.weekdays
        fits = (by_month_day or by_weekday) if self.either_day else (by_month_day and by_weekday)
        return fits and moment.month in self.months

    def matches(self, moment: datetime) -> bool:
        return moment.minute in self.minutes and moment.hour in self.hours and self.on_day(moment)

    def following(self, moment: datetime) -> datetime | None:
        """The next time after this one, or None if there is none within eight years (30 February)."""
        start = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
        day = start.replace(hour=0, minute=0)
        for _day in range(8 * 366):
            if self.on_day(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        if (found := day.replace(hour=hour, minute=minute)) >= start:
                            return found
            day += timedelta(days=1)
        return None


def parse(text: str) -> Cron:
    """Raises ValueError with what is wrong."""
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"five fields are needed, not {len(fields)}")
    minutes, hours, days, months, weekdays = (
        _values(field, *limits) for field, limits in zip(fields, _FIELDS, strict=True)
    )
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    return Cron(minutes, hours, days, months, frozenset(day % 7 for day in weekdays), either)
