# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A region's settings: what a request may say, what is stored, and how each dialect answers."""

from __future__ import annotations

import json
from typing import Any

from . import durations
from .errors import ApiError, Problems

POLICIES = ("LRU", "LFU", "FIFO")
DEFAULTS: dict[str, Any] = {
    "defaultTtl": "PT1H",
    "maxSize": 10000,
    "evictionPolicy": "LRU",
    "enableCompression": False,
    "enableEncryption": False,
    "description": "",
    "replicationFactor": 1,
}
SOMETIMES_HIDDEN = ("enableEncryption", "description")
_MAX_INT = 2**31 - 1

Region = dict[str, Any]  # the fields of DEFAULTS, and name, ttlMs, createdAt, updatedAt


def check_name(name: object, problems: Problems) -> None:
    if not isinstance(name, str) or not name.strip():
        problems.add("name", "must not be blank", name)
    elif len(name) > 255 or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        problems.add("name", "must have at most 255 characters and no control characters", name)
    elif "::" in name or name.endswith(":"):
        problems.add("name", "must not contain '::' or end with ':'", name)


def _check(field: str, value: object, problems: Problems) -> None:
    if field == "defaultTtl":
        if durations.parse(value) is None:
            problems.add(field, "must be an ISO-8601 duration longer than zero", value)
    elif field in ("maxSize", "replicationFactor"):
        top = _MAX_INT if field == "maxSize" else 10
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= top:
            problems.add(field, f"must be a whole number from 1 to {top}", value)
    elif field == "evictionPolicy":
        if not isinstance(value, str) or value.upper() not in POLICIES:
            problems.add(field, f"must be one of {', '.join(POLICIES)}", value)
    elif field == "description":
        if not isinstance(value, str) or len(value) > 1000:
            problems.add(field, "must be a text of at most 1000 characters", value)
    elif not isinstance(value, bool):
        problems.add(field, "must be true or false", value)


def stored(body: object, *, dialects: frozenset[str], name: str | None) -> tuple[str, Region]:
    """The name, and the fields of the request as they are stored. `name` is the path's, None on creation.

    Null counts as left out, unknown and read-only fields are ignored, as Spring does it.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "JSON parse error: an object is expected")
    problems = Problems("cacheRegion")
    given = body.get("name")
    if name is None:
        check_name(given, problems)
    elif given is not None and given != name:
        problems.add("name", "must be the region's name in the path", given)
    fields: Region = {}
    for field in DEFAULTS:
        value = body.get(field)
        if value is None or (field == "enableCompression" and "ignores-compression" in dialects):
            continue
        _check(field, value, problems)
        fields[field] = value
    problems.check()
    if "evictionPolicy" in fields:
        fields["evictionPolicy"] = fields["evictionPolicy"].upper()
    return name if name is not None else str(given), fields


def completed(fields: Region, *, leave: tuple[str, ...] = ()) -> Region:
    """The fields with the defaults of all others, but for those to leave as they are."""
    return {**{field: value for field, value in DEFAULTS.items() if field not in leave}, **fields}


def load(text: bytes) -> Region:
    result: Region = json.loads(text)
    return result


def dump(region: Region) -> str:
    """As stored: the time to live also in milliseconds, so that entries need not parse it."""
    if "defaultTtl" in region:
        region = {**region, "ttlMs": durations.parse(region["defaultTtl"])}
    return json.dumps(region)


def answer(region: Region, measure: tuple[int, int], dialects: frozenset[str]) -> Region:
    """The region as the service shows it."""
    ttl: object = durations.to_minutes(region["ttlMs"])
    if "seconds" in dialects:
        ttl = durations.to_seconds(region["ttlMs"])
    elif "iso" in dialects:
        ttl = region["defaultTtl"]
    policy = region["evictionPolicy"]
    result = {"name": region["name"], **{field: region[field] for field in DEFAULTS}}
    result["defaultTtl"] = ttl
    result["evictionPolicy"] = policy.lower() if "lower-case-enums" in dialects else policy
    if "no-counts" not in dialects:
        result["size"], result["memoryUsage"] = measure
    result["createdAt"], result["updatedAt"] = region["createdAt"], region["updatedAt"]
    for field in SOMETIMES_HIDDEN:
        if "null-fields" in dialects:
            result[field] = None
        elif "absent-fields" in dialects:
            del result[field]
    return result
