# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every endpoint: method, path, token, handler, port. Where two paths match, the first one wins."""

from __future__ import annotations

from . import entries, health, invalidation, metrics, regions
from .settings import Settings
from .web import Route

CACHE = "/api/v1/cache"
REGION = f"{CACHE}/regions/{{region}}"
KEY = f"{REGION}/keys/{{key}}"
ADMIN_REGION = "/admin/cache/regions/{region}"
HEALTH = "/actuator/health"


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
        Route("GET", "/actuator/configprops", "monitor", metrics.configuration_properties, "management"),
    ]
    if "single-get" in dialects:
        routes.append(Route("GET", REGION, lists, regions.get_region))
    if "no-patch" in dialects:
        routes = [route for route in routes if route.path != ADMIN_REGION]
        routes.append(Route("PUT", ADMIN_REGION, "admin", regions.no_region))
    return routes
