# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Values of fields: brought to one form, compared by meaning. Pure functions.

Kinds: ``duration``, ``integer``, ``number``, ``boolean``, ``enum`` (without case), ``text``, ``set`` (order does not
count), ``any``.
"""

from __future__ import annotations

import re
import typing as t
from decimal import Decimal

from ._duration import normal, to_iso
from ._errors import CachingError

_SIMPLE = re.compile(r"^([0-9]{1,12})(ms|s|m|h|d)$")
_UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


def canonical(kind: str, value: t.Any) -> t.Any:
    """``value`` in the form in which it is compared, shown and returned; what does not fit its kind stays as it is."""
    if value is None:
        return None
    try:
        return _FORMS[kind](value)
    except (CachingError, ValueError, TypeError, ArithmeticError):
        return value


def same(kind: str, have: t.Any, want: t.Any) -> bool:
    """Whether both mean the same. A flag that is not set is off."""
    if kind == "boolean" and have is None:
        have = False
    left, right = canonical(kind, have), canonical(kind, want)
    if kind == "enum":
        left, right = str(left).upper(), str(right).upper()
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def differing(fields: t.Mapping[str, str], have: t.Mapping[str, t.Any], want: t.Mapping[str, t.Any], shown: t.Container[str]) -> list[str]:
    """The declared fields in which ``have`` differs from ``want``.

    ``shown`` are the fields that the service does show: one that it never shows, for no object at all, can't differ.
    """
    return [
        name for name, value in want.items()
        if name in fields and not same(fields[name], have.get(name), value) and (have.get(name) is not None or name in shown)
    ]


def _duration(value: t.Any) -> str:
    """Also in the simple style of Spring (``2h``, ``500ms``), which services may answer with."""
    simple = _SIMPLE.match(value) if isinstance(value, str) else None
    return to_iso(int(simple.group(1)) * _UNITS[simple.group(2)]) if simple else normal(value)


def _integer(value: t.Any) -> int:
    number = Decimal(str(value))
    if isinstance(value, bool) or not number.is_finite() or abs(number) > 2**63 or number != int(number):
        raise ValueError
    return int(number)


def _number(value: t.Any) -> float:
    if isinstance(value, bool):
        raise ValueError
    return float(value)


def _boolean(value: t.Any) -> bool:
    text = str(value).strip().lower()
    if text not in _TRUE + _FALSE:
        raise ValueError
    return text in _TRUE


def _set(value: t.Any) -> list[str]:
    if not isinstance(value, (list, tuple, set)):
        raise TypeError
    return sorted({str(entry) for entry in value})


_FORMS: dict[str, t.Callable[[t.Any], t.Any]] = {
    "duration": _duration,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "enum": lambda value: str(value).strip(),
    "text": str,
    "set": _set,
    "any": lambda value: value,
}
