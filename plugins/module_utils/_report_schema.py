# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The JSON Schema of a performance report (S057, H19). ``docs/report.schema.json`` is the same, for those who receive it."""

from __future__ import annotations

import typing as t

from ._kpi import STATES, THRESHOLDS

VERSION = 1
_Schema = dict[str, t.Any]
_NUMBER: _Schema = {"type": "number"}
_MAYBE: _Schema = {"type": ["number", "null"]}
_COUNT: _Schema = {"type": "integer", "minimum": 0}
_MAYBE_COUNT: _Schema = {"type": ["integer", "null"], "minimum": 0}
_TEXT: _Schema = {"type": "string"}
_MAYBE_TEXT: _Schema = {"type": ["string", "null"]}
_TIME: _Schema = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"}
_DATE: _Schema = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_STATE: _Schema = {"enum": list(STATES)}


def _object(properties: _Schema, *optional: str, title: str = "") -> _Schema:
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        **({"description": title} if title else {}),
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


def _list(entry: _Schema) -> _Schema:
    return {"type": "array", "items": entry}


def _map(entry: _Schema, title: str = "") -> _Schema:
    return {"type": "object", **({"description": title} if title else {}), "additionalProperties": entry}


_KPI = _object(
    {
        "name": {"enum": list(THRESHOLDS)},
        "value": _MAYBE,
        "unit": {"enum": ["percent", "milliseconds"]},
        "state": _STATE,
        "target": _NUMBER,
        "warning": _NUMBER,
        "critical": _NUMBER,
        "reason": _TEXT,
        "change": {**_MAYBE, "description": "against the report before"},
    }
)
_REGION = _object(
    {
        "name": _TEXT,
        "size": _MAYBE_COUNT,
        "max_size": _MAYBE_COUNT,
        "memory_usage": _MAYBE,
        "default_ttl": _MAYBE_TEXT,
        "hits": _MAYBE_COUNT,
        "misses": _MAYBE_COUNT,
        "hit_rate": _MAYBE,
    }
)
_INSTANCE = _object({"name": _TEXT, "url": _TEXT, "measured": {"type": "boolean"}, "restarted": {"type": "boolean"}, "error": _TEXT})
_COUNTERS = _map({"type": "number", "minimum": 0})
_READING = _object({"at": _NUMBER, "counters": _COUNTERS, "regions": _map(_COUNTERS)})

SCHEMA: _Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Performance report of a Caching Service",
    **_object(
        {
            "schema_version": {"const": VERSION},
            "period": {"enum": ["daily", "weekly"]},
            "date": _DATE,
            "title": _TEXT,
            "generated_at": _TIME,
            "measured": _object(
                {"from": _TIME, "to": _TIME, "seconds": {"type": "number", "minimum": 0}, "since": {"enum": ["report", "window"]}},
                title="what the figures cover: the time since the report before, or a window of its own",
            ),
            "verdict": _STATE,
            "kpis": {**_list(_KPI), "minItems": 9, "maxItems": 9},
            "counted": _object({name: _MAYBE_COUNT for name in ("requests", "hits", "misses", "puts", "evictions")}),
            "gauges": _object(
                {name: _MAYBE for name in ("entries", "connections", "connections_active", "redis_used", "redis_max", "jvm_used", "jvm_max")}
            ),
            "regions": {"type": ["array", "null"], "items": _REGION},
            "instances": _list(_INSTANCE),
            "top_regions": {"description": "as the service tells it, null where it does not"},
            "recommendations": {"description": "as the service tells it, null where it does not"},
            "weekly_report": {"description": "as the service tells it, null where it does not"},
            "trend": _list(
                _object({"date": _DATE, "requests": _MAYBE_COUNT, "values": _map(_MAYBE)}, title="this report and those before, oldest first")
            ),
            "missing": _map(_TEXT, "why a part is null"),
            "readings": _map(_READING, "the counters of each instance: where the next report begins"),
        }
    ),
}
