# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The actuator's configuration properties in Spring's shape, and their refresh from the configuration file."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .control import DEFAULTS
from .tuning import COMPRESSION, CONNECTION, MEMORY, POOL_CONFIG, TIMEOUTS
from .web import Service

MASK = "******"
SECRET_WORDS = ("password", "secret", "token", "credential", "key")


def _secret(service: Service, value: str | None) -> str | None:
    return value if not value or service.dialect("leaky-configprops") else MASK


def _masked(service: Service, name: str, value: str) -> str | None:
    secret = any(word in name.rpartition(".")[2].lower() for word in SECRET_WORDS)
    return _secret(service, value) if secret else value


def _fixed(service: Service) -> dict[tuple[str, str], dict[str, Any]]:
    """What the process was started with: (prefix, class) -> properties."""
    settings = service.settings
    redis = {
        "nodes": [f"{host}:{port}" for host, port in settings.redis],
        "username": settings.redis_username or None,
        "password": _secret(service, settings.redis_password or None),
    }
    encrypted = {"enabled": bool(settings.redis_ca), "clientCertificate": bool(settings.redis_cert)}
    tokens = {f"{role}Token": _secret(service, token) for token, role in settings.tokens.items()}
    server = {
        "address": settings.host,
        "port": settings.port,
        "management": {"port": settings.management_port or settings.port},
        "ssl": {"enabled": bool(settings.tls_port), "port": settings.tls_port or None},
    }
    configured = service.control.properties
    return {
        ("cache", "CacheProperties"): {"namespace": settings.namespace, "dialects": sorted(settings.dialects)},
        ("server", "ServerProperties"): server,
        ("spring.data.redis", "RedisProperties"): {"cluster": redis, "ssl": encrypted},
        ("cache.security", "SecurityProperties"): tokens,
        ("cache.config", "ConfigurationFile"): {
            "location": settings.config or None,
            "properties": {name: _masked(service, name, value) for name, value in sorted(configured.items())},
        },
    }


def _settings(service: Service) -> dict[tuple[str, str], dict[str, Any]]:
    """What can be changed while the process runs. Connection and pool are two views of the same."""
    value = service.control.value
    redis = {"connection": CONNECTION, "pool": POOL_CONFIG, "timeouts": TIMEOUTS, "memory": MEMORY}
    return {
        ("cache.redis", "RedisTuningProperties"): {
            part: {field: value(name) for field, name in fields.items()} for part, fields in redis.items()},
        ("cache.compression", "CompressionProperties"): {field: value(name) for field, name in COMPRESSION.items()},
        ("cache.strategies", "StrategyProperties"): service.control.strategies(),
    }


def _inputs(service: Service, prefix: str) -> dict[str, Any]:
    """The settings below a prefix that come from the configuration file, and where they stand."""
    found: dict[str, Any] = {}
    for place, (name, value) in enumerate(service.control.properties.items(), 1):
        if prefix.startswith("cache.") and name.startswith(f"{prefix}.") and name.removeprefix("cache.") in DEFAULTS:
            *parents, last = name.removeprefix(f"{prefix}.").split(".")
            inner = found
            for part in parents:
                inner = inner.setdefault(part, {})
            inner[last] = {"value": value, "origin": f"{service.settings.config} - property {place}"}
    return found


async def configuration_properties(service: Service, _request: Request) -> Response:
    found = _fixed(service)
    if not service.dialect("hidden-settings"):
        await service.control.look()
        found |= _settings(service)
    beans = {
        f"{prefix}-com.exalt.caching.{name}": {
            "prefix": prefix, "properties": properties, "inputs": _inputs(service, prefix)}
        for (prefix, name), properties in sorted(found.items())
    }
    return JSONResponse({"contexts": {"caching-service": {"beans": beans, "parentId": None}}})


async def refresh(service: Service, _request: Request) -> Response:
    """The names of the properties that changed, in this process; certificates are looked at, too."""
    changed = service.control.reload()
    changed += [f"{name}.certificate" for name, one in service.certificates.items() if one.look()]
    return JSONResponse(changed)
