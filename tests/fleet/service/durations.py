# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ISO-8601 durations: read like java.time.Duration, written in this service's own way (PT2H comes back as PT120M)."""

from __future__ import annotations

import re

_PATTERN = re.compile(
    r"P(?:(?P<days>\d+)D)?(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d{1,9})?)S)?)?",
    re.IGNORECASE | re.ASCII,
)
_UNITS = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1000}
MAX_MS = 100 * 365 * 86_400_000


def parse(value: object) -> int | None:
    """Milliseconds, or None if this is no duration longer than zero. Numbers are seconds."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        result = round(value * 1000) if 0 < value * 1000 <= MAX_MS else 0
    elif isinstance(value, str) and (match := _PATTERN.fullmatch(value)) and len(value) < 64:
        result = round(sum(float(match[unit]) * factor for unit, factor in _UNITS.items() if match[unit]))
    else:
        return None
    return result if 0 < result <= MAX_MS else None


def to_seconds(milliseconds: int) -> int | float:
    seconds, rest = divmod(milliseconds, 1000)
    return milliseconds / 1000 if rest else seconds


def to_minutes(milliseconds: int) -> str:
    if milliseconds % 60_000 == 0:
        return f"PT{milliseconds // 60_000}M"
    return f"PT{to_seconds(milliseconds)}S"
