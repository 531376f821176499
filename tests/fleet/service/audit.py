# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asked for what, and what was refused: kept for the requests of this process since it started."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from .errors import timestamp

EVENTS = 1000
PATTERNS = 2000
HIGH, MEDIUM = 5, 1  # refused requests of one kind from which the risk is high, or medium


@dataclass(slots=True)
class _Pattern:
    first: str
    last: str
    requests: int = 0
    denied: int = 0

    @property
    def risk(self) -> str:
        if self.denied >= HIGH and self.denied * 2 > self.requests:
            return "high"
        return "medium" if self.denied >= MEDIUM else "low"


@dataclass(slots=True)
class _Use:
    requests: int = 0
    denied: int = 0
    last: str | None = None


@dataclass(slots=True)
class Audit:
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=EVENTS))
    patterns: dict[tuple[str, str, str, str], _Pattern] = field(default_factory=dict)
    keys: dict[str, _Use] = field(default_factory=dict)

    def note(self, principal: str, client: str, method: str, path: str, template: str, reason: str) -> None:
        """One request that needed a token; `reason` is why it was refused, or empty. Paths hold no secrets."""
        moment = timestamp()
        self.events.append({
            "timestamp": moment, "principal": principal, "clientAddress": client, "method": method, "path": path,
            "success": not reason, "reason": reason or None,
        })
        key = (principal, client, method, template)
        if key not in self.patterns and len(self.patterns) >= PATTERNS:
            del self.patterns[next(iter(self.patterns))]
        pattern = self.patterns.setdefault(key, _Pattern(moment, moment))
        pattern.last = moment
        pattern.requests += 1
        pattern.denied += bool(reason)
        use = self.keys.setdefault(principal, _Use())
        use.requests += 1
        use.denied += bool(reason)
        use.last = moment
