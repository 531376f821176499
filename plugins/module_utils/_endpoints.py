# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Every endpoint of the Caching Service as the operations guide gives it: data, one row each."""

from __future__ import annotations

import difflib
import re
import typing as t

from ._errors import CachingError, one_line

ROLES = ("api", "admin", "monitor", "none")


class Endpoint(t.NamedTuple):
    """``port``: service (8403), management (8404) or tls (8443). ``token``: the role whose token is sent.

    ``reads``: a POST that only reads.
    """

    operations: tuple[str, ...]
    method: str
    path: str
    token: str
    port: str = "service"
    reads: bool = False


_REGIONS = "/api/v1/cache/regions"
_KEY = _REGIONS + "/{region}/keys/{key}"
_ADMIN_REGION = "/admin/cache/regions/{region}"

ENDPOINTS: dict[str, Endpoint] = {
    "health": Endpoint(("S007", "S014"), "GET", "/actuator/health", "none"),
    "liveness": Endpoint(("S015",), "GET", "/actuator/health/liveness", "none"),
    "readiness": Endpoint(("S016",), "GET", "/actuator/health/readiness", "none"),
    "redis_health": Endpoint(("S017",), "GET", "/actuator/health/redis", "none"),
    "database_health": Endpoint(("S018",), "GET", "/actuator/health/database", "none"),
    "disk_health": Endpoint(("S019",), "GET", "/actuator/health/diskSpace", "none"),
    "component_health": Endpoint((), "GET", "/actuator/health/{component}", "monitor"),
    "update_region_admin": Endpoint(("S022",), "PATCH", _ADMIN_REGION, "admin"),
    "list_regions": Endpoint(("S027", "S155", "S167"), "GET", _REGIONS, "api"),
    "region_stats": Endpoint(("S028",), "GET", _REGIONS + "/{region}/stats", "api"),
    "create_region": Endpoint(("S029",), "POST", _REGIONS, "admin"),
    "update_region": Endpoint(("S030", "S156", "S169"), "PUT", _REGIONS + "/{region}", "admin"),
    "delete_region": Endpoint(("S031",), "DELETE", _REGIONS + "/{region}", "admin"),
    "key_exists": Endpoint(("S035",), "HEAD", _KEY, "api"),
    "clear_region": Endpoint(("S037",), "DELETE", _REGIONS + "/{region}/clear", "admin"),
    "invalidate_by_pattern": Endpoint(("S038",), "POST", "/api/v1/cache/invalidate/pattern", "admin"),
    "invalidate_by_tags": Endpoint(("S039",), "POST", "/api/v1/cache/invalidate/tags", "admin"),
    "bulk_invalidation": Endpoint(("S040",), "POST", "/api/v1/cache/invalidate/bulk", "admin"),
    "flush_and_shutdown": Endpoint(("S009",), "POST", "/admin/cache/flush-and-shutdown", "admin"),
    "read_configuration": Endpoint(("S020",), "GET", "/actuator/configprops", "monitor", "management"),
    "refresh": Endpoint(("S021",), "POST", "/actuator/refresh", "admin", "management"),
    "redis_connection_settings": Endpoint(("S023",), "PUT", "/admin/redis/connection", "admin"),
    "list_features": Endpoint(("S024",), "GET", "/admin/features", "admin", "management"),
    "set_feature": Endpoint(("S025", "S026"), "PUT", "/admin/features/{name}", "admin", "management"),
    "get_entry": Endpoint(("S032",), "GET", _KEY, "api"),
    "set_entry": Endpoint(("S033",), "PUT", _KEY, "api"),
    "delete_entry": Endpoint(("S034",), "DELETE", _KEY, "api"),
    "get_many": Endpoint(("S036",), "POST", _REGIONS + "/{region}/keys/batch", "api", reads=True),
    "warm_region": Endpoint(("S041", "S042", "S157"), "POST", "/api/v1/cache/warm/{region}", "admin"),
    "warming_status": Endpoint(("S043",), "GET", "/api/v1/cache/warm/status", "admin"),
    "cancel_warming": Endpoint(("S044",), "DELETE", "/api/v1/cache/warm/{region}", "admin"),
    "create_schedule": Endpoint(("S045",), "POST", "/admin/cache/warm/schedule", "admin"),
    "list_schedules": Endpoint(("S046",), "GET", "/admin/cache/warm/schedules", "admin"),
    "update_schedule": Endpoint(("S047",), "PUT", "/admin/cache/warm/schedule/{name}", "admin"),
    "delete_schedule": Endpoint((), "DELETE", "/admin/cache/warm/schedule/{name}", "admin"),
    "metric": Endpoint(("S050", "S051", "S052", "S053", "S062", "S064", "S068", "S160", "S165"), "GET", "/actuator/metrics/{metric}", "monitor", "management"),
    "top_regions": Endpoint(("S055",), "GET", "/api/v1/analytics/top-regions", "api"),
    "recommendations": Endpoint(("S056",), "GET", "/api/v1/analytics/recommendations", "api"),
    "redis_memory_tuning": Endpoint(("S059",), "PUT", "/admin/redis/optimize-memory", "admin"),
    "connection_pool": Endpoint(("S060", "S163"), "PUT", "/admin/redis/pool-config", "admin"),
    "caching_strategies": Endpoint(("S061", "S103", "S158"), "PUT", "/admin/cache/strategies", "admin"),
    "clear_expired": Endpoint(("S070",), "POST", "/admin/cache/cleanup-expired", "admin"),
    "weekly_report": Endpoint(("S073",), "POST", "/api/v1/analytics/weekly-report", "admin"),
    "optimize_caches": Endpoint(("S074",), "POST", "/admin/cache/optimize", "admin"),
    "optimize_warm_schedules": Endpoint(("S075",), "POST", "/admin/cache/warm/optimize-schedules", "admin"),
    "local_cache_mode": Endpoint(("S091",), "POST", "/admin/emergency/local-cache-mode", "admin"),
    "leave_local_cache_mode": Endpoint((), "DELETE", "/admin/emergency/local-cache-mode", "admin"),
    "read_local_cache_mode": Endpoint((), "GET", "/admin/emergency/local-cache-mode", "admin"),
    "optimize_memory": Endpoint(("S094",), "POST", "/admin/cache/memory/optimize", "admin"),
    "reduce_region": Endpoint(("S095",), "PUT", _ADMIN_REGION, "admin"),
    "performance_issues": Endpoint(("S099",), "GET", "/api/v1/analytics/performance-issues", "admin"),
    "optimize_patterns": Endpoint(("S102",), "POST", "/admin/cache/optimize-patterns", "admin"),
    "auth_events": Endpoint(("S132",), "GET", "/admin/security/auth-events", "admin", "management"),
    "security_access_patterns": Endpoint(("S133",), "GET", "/admin/security/access-patterns", "admin", "management"),
    "api_key_usage": Endpoint(("S134",), "GET", "/admin/security/api-keys/usage", "admin", "management"),
    "tls_status": Endpoint(("S135",), "GET", "/admin/security/tls-status", "admin", "management"),
    "encryption_status": Endpoint(("S136",), "GET", "/admin/security/encryption-status", "admin", "management"),
    "tls_health": Endpoint(("S144",), "GET", "/actuator/health", "none", "tls"),
    "hit_rate_by_region": Endpoint(("S153",), "GET", "/api/v1/analytics/hit-rate-by-region", "api"),
    "access_patterns": Endpoint(("S154",), "GET", "/api/v1/analytics/access-patterns", "api"),
    "timeouts": Endpoint(("S162",), "PUT", "/admin/redis/connection-config", "admin"),
    "compression": Endpoint(("S170",), "PUT", "/admin/cache/compression", "admin"),
}


def find(name: str) -> str:
    """The name of an endpoint, given by name, by operation id (``S030``) or as ``PUT /api/v1/…``."""
    wanted = name.strip()
    if wanted in ENDPOINTS:
        return wanted
    for known, endpoint in ENDPOINTS.items():
        if wanted.upper() in endpoint.operations or wanted == f"{endpoint.method} {endpoint.path}":
            return known
    near = difflib.get_close_matches(wanted, ENDPOINTS, n=1)
    hint = f"did you mean {near[0]}?" if near else "the known ones are " + ", ".join(sorted(ENDPOINTS))
    raise CachingError(f"endpoints: there is no endpoint {one_line(wanted, 60)!r}; {hint}")


def table(overrides: t.Mapping[str, t.Any] | None) -> dict[str, Endpoint]:
    """All endpoints, with what the user says that this service does differently (method, path, token)."""
    result = dict(ENDPOINTS)
    for name, override in (overrides or {}).items():
        known = find(str(name))
        if not isinstance(override, dict) or not override or not set(override) <= {"method", "path", "token"}:
            raise CachingError(f"endpoints: {one_line(name, 60)} takes method, path and token, as in {{path: /v2/regions}}")
        parts = {part: _checked(known, part, value) for part, value in override.items()}
        result[known] = Endpoint(**{**result[known]._asdict(), **parts})
    return result


def _checked(name: str, part: str, value: t.Any) -> str:
    text = str(value).strip()
    if part == "method" and text.upper() in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        return text.upper()
    places = re.findall(r"\{\w+\}", ENDPOINTS[name].path)
    fits = sorted(re.findall(r"\{[^{}]*\}", text)) == sorted(places) and text.count("{") == text.count("}") == len(places)
    if part == "path" and text.startswith("/") and text.isprintable() and " " not in text and fits:
        return text
    if part == "token" and text.lower() in ROLES:
        return text.lower()
    held = "".join(f" and holds {place}" for place in places)
    allowed = {"method": "an HTTP method", "path": "a path that begins with /" + held, "token": "one of " + ", ".join(ROLES)}
    raise CachingError(f"endpoints: {part} of {name} must be {allowed[part]}, not {one_line(text, 60)!r}")
