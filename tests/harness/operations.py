# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of operations and hazards (tests/operations.yml), and which of their calls were seen."""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "tests" / "operations.yml"
PLATFORMS = ("kubernetes", "compose", "systemd")      # their operations are proved by runs that ask for them
KINDS = ("http", "kubernetes", "compose", "systemd", "redis", "s3", "host", "data")


def asked_for(platform: str) -> bool:
    """Whether PLATFORMS names this platform, or all."""
    return bool({platform, "all"} & set(os.environ.get("PLATFORMS", "").replace(",", " ").split()))


@dataclass(frozen=True)
class Call:
    """One request of an operation: method, path template (a name in braces is one path segment), port of the guide."""

    method: str
    path: str
    port: int

    @property
    def pattern(self) -> re.Pattern[str]:
        parts = re.split(r"\{\w+\}", self.path)
        return re.compile("[^/]+".join(re.escape(part) for part in parts) + r"\Z")

    def seen_in(self, records: t.Iterable[t.Mapping[str, t.Any]]) -> bool:
        """True if a record is this call and was answered as done: a refused request proves nothing."""
        pattern = self.pattern
        return any(
            record["method"].upper() == self.method
            and pattern.match(record["path"].partition("?")[0])
            and 200 <= int(record["status"] or 0) < 400
            and (self.port != 8443 or record.get("tls", False))
            for record in records
        )

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Operation:
    """One operation of the guide."""

    id: str
    title: str
    kind: str
    by: str
    done: bool = False
    calls: tuple[Call, ...] = ()

    def missing(self, records: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
        """What must still be seen before a test counts as proof of this operation."""
        if self.kind == "data":
            return []
        if not self.calls:
            return [f"a call of kind {self.kind}: tests/operations.yml names none that can be observed"]
        return [str(call) for call in self.calls if not call.seen_in(records)]


@dataclass(frozen=True)
class Hazard:
    """One way in which the guide's own procedure goes wrong."""

    id: str
    title: str
    done: bool = False


@dataclass(frozen=True)
class Catalogue:
    operations: dict[str, Operation] = field(default_factory=dict)
    hazards: dict[str, Hazard] = field(default_factory=dict)

    @property
    def claimed(self) -> list[str]:
        """Ids that are declared as done, but those of platforms that this run has not asked for."""
        mine = [entry for entry in self.operations.values() if entry.kind not in PLATFORMS or asked_for(entry.kind)]
        entries: list[Operation | Hazard] = [*mine, *self.hazards.values()]
        return [entry.id for entry in entries if entry.done]


def _call(text: str, port: int) -> Call:
    method, path = text.split(maxsplit=1)
    return Call(method, path, port)


def load(path: Path = CATALOGUE) -> Catalogue:
    """Read the list; a doubled id, an unknown kind or an unknown field is an error."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    operations: dict[str, Operation] = {}
    for entry in data["operations"]:
        entry = dict(entry)
        port = entry.pop("port", 8403)
        calls = tuple(_call(text, port) for text in entry.pop("calls", []))
        operation = Operation(calls=calls, **entry)
        if operation.id in operations or operation.kind not in KINDS:
            raise ValueError(f"{path.name}: {operation.id} is listed twice, or has the unknown kind {operation.kind}")
        operations[operation.id] = operation
    hazards: dict[str, Hazard] = {}
    for entry in data["hazards"]:
        hazard = Hazard(**entry)
        if hazard.id in hazards:
            raise ValueError(f"{path.name}: {hazard.id} is listed twice")
        hazards[hazard.id] = hazard
    return Catalogue(operations, hazards)
