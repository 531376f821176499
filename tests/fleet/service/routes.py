# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every endpoint: method, path, token, handler, port. Where two paths match, the first one wins."""

from __future__ import annotations

from . import (
    analytics, configuration, emergency, entries, features, health, invalidation, metrics, openapi, regions, schedules,
    security, tasks, tuning, warming,
)
from .settings import Settings
from .web import Route

CACHE = "/api/v1/cache"
REGION = f"{CACHE}/regions/{{region}}"
KEY = f"{REGION}/keys/{{key}}"
ADMIN_REGION = "/admin/cache/regions/{region}"
HEALTH = "/actuator/health"
ANALYTICS = "/api/v1/analytics"
SECURITY = "/admin/security"
WARM = "/admin/cache/warm/schedule"
LOCAL_MODE = "/admin/emergency/local-cache-mode"


def table(settings: Settings) -> list[Route]:
    dialects = settings.dialects
    lists = "admin" if "lists-need-admin" in dialects else "api"
    routes = [
        Route("GET", HEALTH, "", health.health, "both"),
        Route("GET", f"{HEALTH}/liveness", "", health.component("livenessState"), "both"),
        Route("GET", f"{HEALTH}/readiness", "", health.component("readinessState"), "both"),
        Route("GET", f"{HEALTH}/redis", "", health.component("redis"), "both"),
        Route("GET", f"{HEALTH}/database", "", health.component("database"), "both"),
        Route("GET", f"{HEALTH}/diskSpace", "", health.component("diskSpace"), "both"),
        Route("GET", f"{CACHE}/regions", lists, regions.list_regions),
        Route("POST", f"{CACHE}/regions", "admin", regions.create_region),
        Route("PUT", REGION, "admin", regions.put_region),
        Route("DELETE", REGION, "admin", regions.delete_region),
        Route("GET", f"{REGION}/stats", lists, regions.region_stats),
        Route("PATCH", ADMIN_REGION, "admin", regions.patch_region),
        Route("PUT", ADMIN_REGION, "admin", regions.put_region),
        Route("DELETE", f"{REGION}/clear", "admin", invalidation.clear_region),
        Route("POST", f"{REGION}/keys/batch", "api", entries.get_entries),
        Route("HEAD", KEY, "api", entries.has_entry),
        Route("GET", KEY, "api", entries.get_entry),
        Route("PUT", KEY, "api", entries.put_entry),
        Route("DELETE", KEY, "api", entries.delete_entry),
        Route("POST", f"{CACHE}/invalidate/pattern", "admin", invalidation.invalidate_pattern),
        Route("POST", f"{CACHE}/invalidate/tags", "admin", invalidation.invalidate_tags),
        Route("POST", f"{CACHE}/invalidate/bulk", "admin", invalidation.invalidate_bulk),
        Route("GET", "/actuator/metrics", "monitor", metrics.list_metrics, "management"),
        Route("GET", "/actuator/metrics/{name}", "monitor", metrics.get_metric, "management"),
        Route("GET", "/actuator/configprops", "monitor", configuration.configuration_properties, "management"),
        Route("POST", "/actuator/refresh", "admin", configuration.refresh, "management"),
        *_warming(),
        *_administration(),
        *_analytics(),
        *_security(),
        Route("GET", openapi.PATH, "", openapi.handler(lambda: table(settings)), "both"),
    ]
    if "single-get" in dialects:
        routes.append(Route("GET", REGION, lists, regions.get_region))
    if "no-patch" in dialects:
        routes = [route for route in routes if route.path != ADMIN_REGION]
        routes.append(Route("PUT", ADMIN_REGION, "admin", regions.no_region))
    if "schedule-delete" in dialects:
        routes.append(Route("DELETE", f"{WARM}/{{name}}", "admin", schedules.delete))
    if "leave-mode" in dialects:
        routes.append(Route("DELETE", LOCAL_MODE, "admin", emergency.leave))
    if "mode-readable" in dialects:
        routes.append(Route("GET", LOCAL_MODE, "admin", emergency.tell))
    return routes


def _warming() -> list[Route]:
    return [
        Route("GET", f"{CACHE}/warm/status", "admin", warming.status),
        Route("POST", f"{CACHE}/warm/{{region}}", "admin", warming.start),
        Route("DELETE", f"{CACHE}/warm/{{region}}", "admin", warming.cancel),
        Route("GET", "/admin/cache/warm/schedules", "admin", schedules.list_schedules),
        Route("POST", WARM, "admin", schedules.create),
        Route("PUT", f"{WARM}/{{name}}", "admin", schedules.update),
        Route("POST", "/admin/cache/warm/optimize-schedules", "admin", schedules.optimize),
    ]


def _administration() -> list[Route]:
    return [
        Route("PUT", "/admin/redis/connection", "admin", tuning.section(tuning.CONNECTION)),
        Route("PUT", "/admin/redis/connection-config", "admin", tuning.section(tuning.TIMEOUTS)),
        Route("PUT", "/admin/redis/pool-config", "admin", tuning.section(tuning.POOL_CONFIG)),
        Route("PUT", "/admin/redis/optimize-memory", "admin", tuning.section(tuning.MEMORY)),
        Route("PUT", "/admin/cache/strategies", "admin", tuning.put_strategies),
        Route("PUT", "/admin/cache/compression", "admin", tuning.section(tuning.COMPRESSION)),
        Route("POST", "/admin/cache/cleanup-expired", "admin", tasks.cleanup_expired),
        Route("POST", "/admin/cache/optimize", "admin", tasks.optimize),
        Route("POST", "/admin/cache/optimize-patterns", "admin", tasks.optimize_patterns),
        Route("POST", "/admin/cache/memory/optimize", "admin", tasks.optimize_memory),
        Route("POST", "/admin/cache/flush-and-shutdown", "admin", tasks.flush_and_shutdown),
        Route("POST", LOCAL_MODE, "admin", emergency.enter),
        Route("GET", "/admin/features", "admin", features.list_features, "management"),
        Route("PUT", "/admin/features/{name}", "admin", features.put_feature, "management"),
    ]


def _analytics() -> list[Route]:
    return [
        Route("GET", f"{ANALYTICS}/top-regions", "api", analytics.top_regions),
        Route("GET", f"{ANALYTICS}/recommendations", "api", analytics.recommendations),
        Route("GET", f"{ANALYTICS}/performance-issues", "admin", analytics.performance_issues),
        Route("GET", f"{ANALYTICS}/hit-rate-by-region", "api", analytics.hit_rate_by_region),
        Route("GET", f"{ANALYTICS}/access-patterns", "api", analytics.access_patterns),
        Route("POST", f"{ANALYTICS}/weekly-report", "admin", analytics.weekly_report),
    ]


def _security() -> list[Route]:
    return [
        Route("GET", f"{SECURITY}/auth-events", "admin", security.auth_events, "management"),
        Route("GET", f"{SECURITY}/access-patterns", "admin", security.access_patterns, "management"),
        Route("GET", f"{SECURITY}/api-keys/usage", "admin", security.key_usage, "management"),
        Route("GET", f"{SECURITY}/tls-status", "admin", security.tls_status, "management"),
        Route("GET", f"{SECURITY}/encryption-status", "admin", security.encryption_status, "management"),
    ]
