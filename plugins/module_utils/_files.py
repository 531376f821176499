# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Files of a deployment: which differ from what is declared, whose they are, and how they differ. Pure functions on data."""

from __future__ import annotations

import difflib
import re
import typing as t

from ._redact import is_secret
from ._redact import text as redacted

MARK = "Managed by exalt.caching: playbook deploy writes this file"
WIDTH = 160
SECTIONS = ("configmaps", "secrets", "workloads")      # the words of Kubernetes, so that a backup's sections are the same everywhere
_REFERENCE = re.compile(r"\$\{[^}]*\}|(?<=[=\s])\$\w+")
# `NAME=x`, `name: x`, `name x`, also as an entry of a list, or of Environment in a unit
_NAME = re.compile(r"\s*(?:-\s+)?(?:Environment=)?[\"']?([\w.-]+)(\s*[=:]\s*|\s+)")


class Wanted(t.NamedTuple):
    """A file as declared; of a secret one only the names of its lines are shown."""

    name: str
    text: str
    secret: bool


def ours(present: str) -> bool:
    return any(MARK in line for line in present.splitlines()[:3])


def shown(line: str, secret: bool) -> str:
    """A line without what nobody may read: in a file of secrets its name alone, elsewhere no value of a secret name."""
    found = _NAME.match(line)
    if found and (secret or is_secret(found[1])):
        return f"{found[0]}(secret)"
    return "(secret)" if secret and line.strip() and not line.startswith("#") else redacted(line)[:WIDTH]


def differences(one: Wanted, present: str | None) -> list[str]:
    """Nothing where it is as declared, else lines like those of diff."""
    if present is None:
        return [f"{one.name}: new"]
    found = [line for line in difflib.unified_diff(present.splitlines(), one.text.splitlines(), n=0, lineterm="")
             if not line.startswith(("---", "+++", "@@"))]
    return [f"{one.name}: {line[0]} {shown(line[1:], one.secret)}" for line in found] or (
        [f"{one.name}: its last line ends otherwise"] if present != one.text else [])


def secrets(text: str, all_of_it: bool) -> list[str]:
    """Names of the secrets that have a value in it."""
    found = [match for line in text.splitlines() if not line.lstrip().startswith("#") and (match := _NAME.match(line))]
    return [match[1] for match in found if (all_of_it or is_secret(match[1])) and match.string[match.end():].strip(" \"'")]


def lost(one: Wanted, present: str | None) -> list[str]:
    """Secrets that are there and would not be any more: most likely a variable of the environment is missing."""
    kept = secrets(one.text, one.secret)
    return [f"{one.name}: {name}" for name in secrets(present or "", one.secret) if name not in kept]


def plan(files: list[Wanted], present: list[str | None]) -> dict[str, t.Any]:
    """Names of those that differ, places of those to write, names of those that somebody else made, secrets that would be lost, all differences."""
    pairs = list(zip(files, present))
    away = [number for number, (one, text) in enumerate(pairs) if text != one.text]
    return {"changed": [files[number].name for number in away], "places": away,
            "foreign": [one.name for one, text in pairs if text is not None and text != one.text and not ours(text)],
            "lost": [name for one, text in pairs if text is not None and ours(text) for name in lost(one, text)],
            "differences": [line for pair in pairs for line in differences(*pair)]}


def in_clear(text: str) -> bool:
    """Whether a secret seems to stand in it; what only refers to one is none."""
    plain = _REFERENCE.sub("(redacted)", text)
    named = [found for line in plain.splitlines() if (found := _NAME.match(line)) and is_secret(found[1])]
    return redacted(plain) != plain or any(found.string[found.end():].strip(" \"'") not in ("", "(redacted)") for found in named)


def by_section(files: list[dict[str, t.Any]], encrypted: bool) -> dict[str, t.Any]:
    """The files by their section. What would stand in clear in the store is left out and named."""
    closed = [one["name"] for one in files if not encrypted and (one["section"] == "secrets" or in_clear(one["text"]))]
    found: dict[str, t.Any] = {name: [] for name in SECTIONS}
    for one in files:
        if one["name"] not in closed:
            kept = {key: value for key, value in one.items() if key != "section"}
            found[one["section"]].append({**kept, "secret": True} if one["section"] == "secrets" else kept)
    return {**{name: {"items": rows} if rows else {} for name, rows in found.items()}, "left_out": closed}
