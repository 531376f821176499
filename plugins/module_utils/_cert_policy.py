# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Whether a certificate has to be renewed, and why (H52). Pure functions on data."""

from __future__ import annotations

import math
import re
import typing as t

from ._cert_model import Facts, moment
from ._cert_names import Name
from ._duration import parse
from ._errors import CachingError, one_line

_SHARE = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,3})?)\s*%")
_DAY = 86400.0
SKEW = 300.0             # how far back a certificate begins, for the clocks of clients that are behind
SHORTEST = 600.0
ROOM = 64                # bytes of a part of the subject
LONGEST = 100 * 365 * _DAY


class Wish(t.NamedTuple):
    """The certificate that is declared. ``lifetime`` in seconds; ``usages`` are server and client."""

    common_name: str
    names: tuple[Name, ...]
    key_type: str = "ecdsa-p256"
    usages: frozenset[str] = frozenset(("server", "client"))
    lifetime: float = 90 * _DAY
    organization: str = ""


class Threshold(t.NamedTuple):
    """How much time has to be left: seconds, or a share of the certificate's own lifetime."""

    seconds: float = 0.0
    share: float = 0.0

    def of(self, lifetime: float) -> float:
        return self.share * lifetime if self.share else self.seconds

    def told(self) -> str:
        return f"{self.share:.4g} of its lifetime" if self.share else span(self.seconds)


def lifetime(text: str, option: str) -> float:
    seconds = float(parse(text, option))
    if not SHORTEST <= seconds <= LONGEST:
        raise CachingError(f"{option}: it must be between PT10M and 100 years, not {one_line(text, 40)}")
    return seconds


def threshold(text: str, limit: float | None = None, option: str = "renew_before") -> Threshold:
    """``P30D``, seconds, or a share such as ``33%``. ``limit``: the lifetime of what is issued, which must be longer."""
    found = _SHARE.fullmatch(text.strip())
    if found:
        share = float(found[1]) / 100
        if not share:
            raise CachingError(f"{option}: a share goes from more than 0% to less than 100%")
        if limit is not None and share * (limit + SKEW) >= limit:
            raise CachingError(f"{option}: {text.strip()} of {span(limit)} is so much that every run would renew")
        return Threshold(share=share)
    if "%" in text:
        raise CachingError(f"{option}: {one_line(repr(text), 40)} is no share such as 33%; it goes from more than 0% to less than 100%")
    seconds = float(parse(text, option))
    if limit is not None and seconds >= limit:
        raise CachingError(f"{option}: {span(seconds)} is not shorter than validity ({span(limit)}), so every run would renew")
    return Threshold(seconds=seconds)


def fitting(option: str, value: str) -> str:
    """A part of the subject, which has little room."""
    size = len(value.encode("utf-8", "replace"))
    if size > ROOM:
        raise CachingError(f"{option}: it has {size} bytes, and a certificate has room for {ROOM}; names belong into subject_alt_names")
    return value


def span(seconds: float) -> str:
    """A span of time for a message."""
    for unit, size in (("day", _DAY), ("hour", 3600.0), ("minute", 60.0)):
        if abs(seconds) >= size:
            number = f"{seconds / size:.1f}".removesuffix(".0")
            return f"{number} {unit}{'' if number == '1' else 's'}"
    return f"{seconds:.0f} s"


def due(have: Facts, limit: Threshold, now: float) -> str:
    """Why the time of a certificate is over, or nothing."""
    left = have.not_after - now
    if left <= 0:
        return f"it expired on {moment(have.not_after)}"
    if left <= limit.of(have.lifetime):
        return f"it expires in {span(left)}, and renew_before is {limit.told()}"
    return ""


def by_others(want: Wish, have: Facts | None, common_name: bool, organization: bool) -> Wish:
    """What a certificate by somebody else has to be like: of its subject only what was declared, as an authority may put its own there, or nothing."""
    if have is None:
        return want
    return want._replace(common_name=want.common_name if common_name and have.common_name else have.common_name,
                         organization=want.organization if organization else have.organization)


def differences(have: Facts, want: Wish) -> list[str]:
    """What of a certificate is not as declared."""
    found = []
    missing = [str(name) for name in want.names if name not in have.names]
    extra = [str(name) for name in have.names if name not in want.names]
    if missing:
        found.append(f"it lacks the names {', '.join(missing)}")
    if extra:
        found.append(f"it has the names {', '.join(extra)}, which are not declared")
    for what, one, other in (("common name", have.common_name, want.common_name), ("organization", have.organization, want.organization),
                             ("key type", have.key_type, want.key_type)):
        if one != other:
            found.append(f"its {what} is {one_line(repr(one), 60)}, declared is {one_line(repr(other), 60)}")
    if have.usages != want.usages:
        has = "no limits" if have.usages is None else " and ".join(sorted(have.usages)) or "neither"
        found.append(f"its usage is {has}, declared is {' and '.join(sorted(want.usages))}")
    if not have.key_ids:
        found.append("it has no key identifiers, so strict clients refuse it")
    if have.authority:
        found.append("it is the certificate of an authority")
    return found


def reasons(have: Facts | None, want: Wish, limit: Threshold, now: float, trouble: str = "", force: bool = False, authority_end: float = math.inf) -> list[str]:
    """Why a new certificate has to be issued; empty where the present one is good.

    ``trouble``: what is wrong beyond its contents (unreadable, another key, another issuer). ``authority_end``: a certificate
    that ends with its authority can't be made to last longer, which is no reason to renew again and again.
    """
    if have is None:
        return [trouble or "there is no certificate yet"]
    found = [trouble] if trouble else []
    if have.not_before > now:
        found.append(f"it is valid from {moment(have.not_before)} only")
    over = due(have, limit, now)
    if over and (have.not_after <= now or authority_end > have.not_after + 60):
        found.append(over)
    found += differences(have, want)
    if force and not found:
        found.append("force was given")
    return found
