# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Options that several modules share. Each fragment has a documentation fragment of the same name."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import env_fallback

Spec = dict[str, dict[str, t.Any]]


def _env(*names: str) -> tuple[t.Any, list[str]]:
    return (env_fallback, list(names))


SERVICE: Spec = {
    "service_url": {"type": "str", "fallback": _env("CACHING_SERVICE_URL")},
    "instances": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str"},
            "url": {"type": "str", "required": True},
            "management_url": {"type": "str"},
            "tls_url": {"type": "str"},
        },
    },
    "management_url": {"type": "str"},
    "api_token": {"type": "str", "no_log": True, "fallback": _env("API_TOKEN")},
    "admin_token": {"type": "str", "no_log": True, "fallback": _env("ADMIN_TOKEN")},
    "monitor_token": {"type": "str", "no_log": True, "fallback": _env("MONITOR_TOKEN")},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "timeout": {"type": "str", "default": "PT10S"},
    "retries": {"type": "int", "default": 3},
    "concurrency": {"type": "int", "default": 8},
    "endpoints": {"type": "dict", "default": {}},
}

REDIS: Spec = {
    "redis_nodes": {"type": "list", "elements": "str"},
    "redis_username": {"type": "str", "fallback": _env("REDIS_USERNAME")},
    "redis_password": {"type": "str", "no_log": True, "fallback": _env("REDIS_PASSWORD")},
    "redis_tls": {"type": "bool", "default": False},
    "redis_tls_server_name": {"type": "str"},
    "redis_ca_path": {"type": "path"},
    "redis_client_cert": {"type": "path"},
    "redis_client_key": {"type": "path", "no_log": False},
    "redis_address_map": {"type": "dict", "default": {}},
    "redis_timeout": {"type": "str", "default": "PT5S"},
}

STORE: Spec = {
    "store_url": {"type": "str", "fallback": _env("CACHING_STORE_URL")},
    "store_endpoint_url": {"type": "str", "fallback": _env("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")},
    "store_region": {"type": "str", "fallback": _env("AWS_REGION", "AWS_DEFAULT_REGION")},
    "store_access_key": {"type": "str", "no_log": False, "fallback": _env("AWS_ACCESS_KEY_ID")},
    "store_secret_key": {"type": "str", "no_log": True, "fallback": _env("AWS_SECRET_ACCESS_KEY")},
    "store_session_token": {"type": "str", "no_log": True, "fallback": _env("AWS_SESSION_TOKEN")},
    "store_ca_path": {"type": "path", "fallback": _env("AWS_CA_BUNDLE")},
    "store_sse": {"type": "str", "choices": ["AES256", "aws:kms"]},
    "store_sse_kms_key_id": {"type": "str", "no_log": False},
    "store_timeout": {"type": "str", "default": "PT40S"},
}

# What a module takes that keeps the lock of the operation around it (_resources/operation_lock.Held).
LOCK: dict[str, t.Any] = {
    "type": "dict", "options": {
        "name": {"type": "str", "required": True},
        "scope": {"type": "str", "choices": ["content", "topology"], "default": "topology"},
        "token": {"type": "int", "required": True, "no_log": False},
        "ttl": {"type": "str", "default": "PT15M"},
    },
}

FRAGMENTS: dict[str, Spec] = {"service": SERVICE, "redis": REDIS, "store": STORE}


def spec(*fragments: str, **own: dict[str, t.Any]) -> Spec:
    """The argument spec of a module: named fragments and its own options."""
    result: Spec = {}
    for name in fragments:
        result.update(FRAGMENTS[name])
    return {**result, **own}
