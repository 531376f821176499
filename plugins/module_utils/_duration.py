# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Durations: ISO-8601 (``PT2H``, ``P30D``) or seconds, compared by value, sent as ISO-8601."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from ._errors import CachingError, one_line

_NUMBER = r"([0-9]+(?:[.,][0-9]{1,9})?)"
_ISO = re.compile(rf"^P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?$", re.IGNORECASE)
_CALENDAR = re.compile(r"^P(?=[^T]*[0-9][YM])[0-9.,YMWDTHS]+$", re.IGNORECASE)
_UNITS = (604800, 86400, 3600, 60, 1)
_LONGEST = Decimal(10) ** 11


def parse(value: object, name: str = "duration") -> Decimal:
    """Seconds of a duration. ``name`` is the option that an error names."""
    text = str(value).strip()
    if isinstance(value, bool) or value is None or len(text) > 60 or not text.isascii() or "_" in text:
        raise _refused(value, name)
    if text.upper().startswith("P"):
        found = _ISO.match(text)
        if found is None or text[-1] in "PTpt":
            why = "months and years have no fixed length: use days" if _CALENDAR.match(text) else ""
            raise _refused(value, name, why)
        seconds = sum((Decimal(part.replace(",", ".")) * unit for part, unit in zip(found.groups(), _UNITS) if part), Decimal(0))
    else:
        try:
            seconds = Decimal(text)
        except InvalidOperation:
            raise _refused(value, name) from None
    if not seconds.is_finite() or not 0 <= seconds <= _LONGEST:
        raise _refused(value, name, "it must be between 0 seconds and 3,000 years")
    return seconds


def within(value: object, name: str, longest: int = 3600) -> float:
    """Seconds of a time limit: more than none, which would fail at once, and at most ``longest``."""
    seconds = parse(value, name)
    if not 0 < seconds <= longest:
        raise CachingError(f"{name}: it must be more than 0 and at most {longest} seconds, not {one_line(value, 40)}")
    return float(seconds)


def to_iso(seconds: Decimal) -> str:
    """The one way that durations are sent and shown: hours, minutes and seconds, as Java prints them."""
    whole, fraction = divmod(seconds, 1)
    minutes, second = divmod(int(whole), 60)
    hour, minute = divmod(minutes, 60)
    tail = f"{second + fraction:f}".rstrip("0").rstrip(".") if fraction else str(second)
    parts = f"{hour}H" * bool(hour) + f"{minute}M" * bool(minute) + f"{tail}S" * bool(second or fraction)
    return "PT" + (parts or "0S")


def normal(value: object, name: str = "duration") -> str:
    """The canonical text of a duration: ``PT120M``, ``7200`` and ``PT2H`` are all ``PT2H``."""
    return to_iso(parse(value, name))


def _refused(value: object, name: str, why: str = "") -> CachingError:
    hint = why or "use ISO-8601 such as PT2H or P30D, or a number of seconds"
    return CachingError(f"{name}: {one_line(repr(value), 80)} is not a duration; {hint}")
