# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the recording proxy can do to a request, as a list of rules.

A rule says which requests it is for: `method`, `path` (a regular expression, searched in the path without the query),
and of those `nth` (only that one, from 1), `first` (the first so many) or `probability` (with `seed`). What it does:

    delay: seconds       wait before anything else
    status, headers, body, body_base64, retry_after     answer with this instead of asking the service
    html502: true        a gateway's page of HTML
    cut: n               send n bytes of the real body, then close
    reset: true          close the connection with RST
    freeze: true         never answer
    forward: true        ask the service first, then do the above: the work is done, the answer is lost
"""

from __future__ import annotations

import base64
import random
import re
import typing as t
from dataclasses import dataclass, field

from tests.harness import messages

KNOWN = {"name", "method", "path", "nth", "first", "probability", "seed", "delay", "status", "headers", "body",
         "body_base64", "retry_after", "html502", "cut", "reset", "freeze", "forward"}


@dataclass
class Rule:
    spec: dict[str, t.Any]
    seen: int = 0
    delivered: int = 0
    chance: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        unknown = sorted(self.spec.keys() - KNOWN)
        if unknown:
            raise ValueError(f"unknown in a fault: {', '.join(unknown)}")
        re.compile(self.spec.get("path", ""))
        self.chance.seed(self.spec.get("seed", 0))

    def applies(self, method: str, path: str) -> bool:
        """Whether this request gets the fault; counts it."""
        spec = self.spec
        if spec.get("method", method) != method or not re.search(spec.get("path", ""), path):
            return False
        self.seen += 1
        chosen: bool = self.seen == spec.get("nth", self.seen) and self.seen <= spec.get("first", self.seen)
        if chosen and "probability" in spec:
            chosen = self.chance.random() < float(spec["probability"])
        self.delivered += chosen
        return chosen

    @property
    def name(self) -> str:
        kinds = ("html502", "reset", "freeze", "cut", "status", "delay")
        return str(self.spec.get("name") or next((kind for kind in kinds if kind in self.spec), "fault"))

    @property
    def asks_service(self) -> bool:
        replaces = any(self.spec.get(kind) for kind in ("status", "html502", "reset", "freeze"))
        return bool(self.spec.get("forward", not replaces))

    def answer(self) -> messages.Message | None:
        """The answer to give instead of the service's own."""
        spec = self.spec
        if spec.get("html502"):
            return messages.response(502, {"Content-Type": "text/html"}, messages.HTML_502)
        if "status" not in spec:
            return None
        headers = {"Content-Type": "application/json", **spec.get("headers", {})}
        if "retry_after" in spec:
            headers["Retry-After"] = str(spec["retry_after"])
        body = base64.b64decode(spec["body_base64"]) if "body_base64" in spec else spec.get("body", "").encode()
        return messages.response(spec["status"], headers, body)


def first_that_applies(rules: list[Rule], method: str, path: str) -> Rule | None:
    return next((rule for rule in rules if rule.applies(method, path)), None)
