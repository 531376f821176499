# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service is started with: options, secrets from the environment, dialects."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DIALECTS: dict[str, str] = {
    "standard": "as the guide has it; PUT replaces, lists are plain arrays, durations come back in minutes",
    "put-merges": "PUT keeps the fields that the request leaves out",
    "paged": "lists (regions, warm jobs, schedules, flags) are a Spring page of 20 (`content`, `totalPages`, `last`)",
    "wrapped": "a list is inside an object: `regions`, `jobs`, `schedules`, `features`",
    "hal": "a list is a HAL page of 20 (`_embedded`, `_links.next`)",
    "map": "a list is an object, by name (warm jobs: by region)",
    "seconds": "durations are numbers of seconds",
    "iso": "durations come back exactly as they were sent",
    "single-get": "GET of one region answers",
    "no-single-get": "GET of one region is 405, as in the standard",
    "null-fields": "enableEncryption and description are null in every answer, and so are a flag's regions if none",
    "absent-fields": "enableEncryption and description are never returned, nor a flag's regions if there are none",
    "ignores-compression": "200, but enableCompression is not applied",
    "accepted": "writes, but for entries, features and modes, answer 202 and are applied 300 to 700 ms later",
    "no-counts": "no size and memoryUsage; invalidations and tasks answer 204",
    "immutable": "evictionPolicy can't be changed: 409",
    "no-patch": "the admin path of a region has no PATCH (405) and no PUT (404)",
    "lists-need-admin": "listing regions and their statistics takes the admin token",
    "lower-case-enums": "evictionPolicy is answered in lower case",
    "schedule-delete": "a warm schedule can be deleted; in the standard that is 405",
    "fixed-features": "only the known flags can be set, others are 404; in the standard PUT creates them",
    "local-settings": "settings and strategies are each process's own; in the standard all instances share them",
    "hidden-settings": "settings can't be read: configprops leaves them out, and their PUT answers 204",
    "leaky-configprops": "configprops shows secrets in clear",
    "leave-mode": "DELETE leaves the local-cache mode; in the standard that is 405",
    "mode-readable": "GET tells whether the local-cache mode is on; in the standard that is 405",
}
LISTS = {"paged", "wrapped", "hal", "map"}


class SettingsError(Exception):
    """The service can't start with these options."""


@dataclass(frozen=True, slots=True)
class Settings:
    host: str
    port: int
    management_port: int
    tls_port: int
    tls_cert: str
    tls_key: str
    tls_watch: float
    redis: tuple[tuple[str, int], ...]
    redis_username: str
    redis_password: str
    redis_ca: str  # not empty: Redis is reached by TLS
    redis_cert: str
    redis_key: str
    namespace: str
    database: str
    config: str
    clock_offset: float
    drain: float
    dialects: frozenset[str]
    tokens: Mapping[str, str]  # token -> role


def _nodes(text: str) -> tuple[tuple[str, int], ...]:
    nodes = []
    for item in text.split(","):
        host, _colon, port = item.strip().rpartition(":")
        if not host or not port.isdigit():
            raise SettingsError(f"--redis: '{item}' is not host:port")
        nodes.append((host, int(port)))
    return tuple(nodes)


def _dialects(text: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    unknown = sorted(names - DIALECTS.keys())
    if unknown:
        raise SettingsError(f"--dialect: unknown {', '.join(unknown)}; known are {', '.join(DIALECTS)}")
    if len(names & LISTS) > 1:
        raise SettingsError(f"--dialect: {', '.join(sorted(names & LISTS))} exclude each other")
    return names


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="caching-service", description="The reference Caching Service.")
    result.add_argument("--host", default="127.0.0.1")
    result.add_argument("--port", type=int, default=8403, help="data and admin API, health")
    result.add_argument("--management-port", type=int, default=8404, help="0: the management paths are on --port")
    result.add_argument("--tls-port", type=int, default=0, help="0: no TLS")
    result.add_argument("--tls-cert", default="")
    result.add_argument("--tls-key", default="")
    result.add_argument("--tls-watch", type=float, default=1.0,
                        help="seconds between two looks at the files of certificates; 0: only /actuator/refresh looks")
    result.add_argument("--redis", default="127.0.0.1:6379", help="host:port of some cluster nodes, comma-separated")
    result.add_argument("--redis-ca", default="", help="Redis is reached by TLS, and verified by these authorities (PEM)")
    result.add_argument("--redis-cert", default="", help="certificate that is shown to Redis (PEM)")
    result.add_argument("--redis-key", default="", help="its key")
    result.add_argument("--dialect", default="standard", help="comma-separated; see --list-dialects")
    result.add_argument("--namespace", default="", help="prefix of every Redis key")
    result.add_argument("--database", default="", help="path of the SQLite file; empty: a private temporary one")
    result.add_argument("--config", default="", help="properties file that /actuator/refresh reads again")
    result.add_argument("--clock-offset", type=float, default=0, help="seconds that the schedules' clock is ahead")
    result.add_argument("--drain", type=float, default=0.3, help="seconds out of service before the ports close")
    result.add_argument("--list-dialects", action="store_true")
    return result


def load(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> Settings | None:
    """The settings, or None when only the list of dialects was asked for."""
    options = parser().parse_args(argv)
    if options.list_dialects:
        for name, meaning in DIALECTS.items():
            print(f"{name:20} {meaning}")
        return None
    environ = os.environ if environ is None else environ
    tokens: dict[str, str] = {}
    for variable, role in (("API_TOKEN", "api"), ("MONITOR_TOKEN", "monitor"), ("ADMIN_TOKEN", "admin")):
        token = environ.get(variable, "")
        if not token:
            raise SettingsError(f"the environment variable {variable} is not set")
        tokens[token] = role
    if options.tls_port and not (options.tls_cert and options.tls_key):
        raise SettingsError("--tls-port needs --tls-cert and --tls-key")
    if bool(options.redis_cert) != bool(options.redis_key) or options.redis_cert and not options.redis_ca:
        raise SettingsError("--redis-cert needs --redis-key and --redis-ca")
    return Settings(
        host=options.host,
        port=options.port,
        management_port=options.management_port,
        tls_port=options.tls_port,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
        tls_watch=options.tls_watch,
        redis=_nodes(options.redis),
        redis_username=environ.get("REDIS_USERNAME", ""),
        redis_password=environ.get("REDIS_PASSWORD", ""),
        redis_ca=options.redis_ca,
        redis_cert=options.redis_cert,
        redis_key=options.redis_key,
        namespace=options.namespace,
        database=options.database,
        config=options.config,
        clock_offset=options.clock_offset,
        drain=options.drain,
        dialects=_dialects(options.dialect),
        tokens=tokens,
    )
