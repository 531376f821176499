# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests are pointed at: the local fleet, and single services of any dialect on its Redis."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import subprocess
import typing as t
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis
import urllib3

from tests.fleet.local import layout
from tests.harness import process
from tests.harness.recorder import ProxyClient

TIMEOUT, RETRIES = "PT5S", 3
TLS_OPTIONS = ("redis_tls", "redis_ca_path", "redis_client_cert", "redis_client_key")


def token_options(tokens: dict[str, str]) -> dict[str, t.Any]:
    return {f"{role}_token": token for role, token in tokens.items()}


class Fleet:
    """The running local fleet."""

    def __init__(self) -> None:
        self.state = layout.state()
        self.facts: dict[str, t.Any] = json.loads(self.state.facts.read_text())
        self.inventory = Path(self.facts["inventory"])
        self.tokens = {role: self.state.secret(f"{role}_token") for role in ("api", "admin", "monitor")}

    @property
    def args(self) -> dict[str, t.Any]:
        """Options of a module that speaks with the fleet's service, without a proxy."""
        instances = self.facts["instances"]
        return {"service_url": self.facts["service_url"], "instances": instances, "ca_path": self.facts["ca_path"],
                "timeout": TIMEOUT, "retries": RETRIES, **token_options(self.tokens)}

    @property
    def redis_args(self) -> dict[str, t.Any]:
        tls = {name: self.facts[name] for name in TLS_OPTIONS if name in self.facts}
        return {"redis_nodes": self.facts["redis_nodes"], "redis_password": self.state.secret("redis_password"), **tls}

    @property
    def store_args(self) -> dict[str, t.Any]:
        """Options of the store in the fleet's S3 service."""
        keys = {name: self.state.secret(name) for name in ("store_access_key", "store_secret_key")}
        return {"store_url": self.facts["store_url"], "store_endpoint_url": self.facts["store_endpoint_url"], **keys}

    def redis(self, user: str = "default") -> redis.RedisCluster:
        """A client of the cluster; users are default, caching-service and observer (read-only)."""
        secret = {"default": "redis_password", "caching-service": "redis_service_password",
                  "observer": "redis_observer_password"}[user]
        host, _colon, port = self.facts["redis_nodes"][0].partition(":")
        return redis.RedisCluster(host=host, port=int(port), username=user, password=self.state.secret(secret),
                                  decode_responses=True, **self.state.redis_options)

    def supervisorctl(self, *command: str) -> str:
        """`stop redis-1`, `start redis-1`, `pid caching-service-2`, `signal STOP caching-service-2` …"""
        return subprocess.run([self.facts["supervisorctl"], "-c", self.facts["supervisor_config"], *command],
                              capture_output=True, text=True, check=False).stdout.strip()


def forget(fleet: Fleet, namespace: str) -> None:
    """Remove every key of a namespace from the cluster."""
    with contextlib.closing(fleet.redis()) as client:
        keys = list(client.scan_iter(f"{namespace}*", 1000, target_nodes=redis.RedisCluster.PRIMARIES))
        for start in range(0, len(keys), 1000):
            with client.pipeline() as pipeline:
                for key in keys[start:start + 1000]:
                    pipeline.unlink(key)
                pipeline.execute()


class Service:
    """One process of the reference service, of one dialect, with its own keys, behind a recording proxy.

    With `like` it is one more process of that service: same keys, same tokens.
    """

    def __init__(self, fleet: Fleet, dialects: Sequence[str], like: Service | None = None, database: str | None = None) -> None:
        self.fleet, self.dialects = fleet, tuple(dialects) or ("standard",)
        self.database: str = fleet.facts.get("database", "") if database is None else database
        self.namespace: str = like.namespace if like else f"test-{secrets.token_hex(4)}:"
        self.tokens: dict[str, str] = like.tokens if like else {role: secrets.token_hex(16) for role in ("api", "admin", "monitor")}
        self.host, self.port = "127.0.0.1", process.free_port()
        self.direct_url = f"http://{self.host}:{self.port}"
        self.start()
        self.proxy = ProxyClient([self.direct_url], self.tokens)
        self.url = self.proxy.url

    @property
    def args(self) -> dict[str, t.Any]:
        """Options of a module that speaks with this service through the proxy."""
        return {"service_url": self.url, "management_url": self.url, "timeout": TIMEOUT, "retries": RETRIES,
                **token_options(self.tokens)}

    @property
    def redis_args(self) -> dict[str, t.Any]:
        """Options of a module that also counts in Redis: connection and names of keys."""
        return {**self.fleet.redis_args, "key_format": f"{self.namespace}{{region}}::{{key}}",
                "tag_format": f"{self.namespace}tag:{{region}}:{{tag}}"}

    def start(self) -> None:
        arguments = ["--host", self.host, "--port", str(self.port), "--management-port", "0", "--tls-port", "0",
                     "--redis", ",".join(self.fleet.facts["redis_nodes"]), "--dialect", ",".join(self.dialects),
                     "--namespace", self.namespace, "--drain", "0", "--database", self.database]
        if self.fleet.state.redis_tls:
            arguments += ["--redis-ca", self.fleet.facts["redis_ca_path"], "--redis-cert", self.fleet.facts["redis_client_cert"],
                          "--redis-key", self.fleet.facts["redis_client_key"]]
        environment = {f"{role.upper()}_TOKEN": token for role, token in self.tokens.items()}
        environment |= {"REDIS_USERNAME": "caching-service",
                        "REDIS_PASSWORD": self.fleet.state.secret("redis_service_password")}
        self.process = process.start("tests.fleet.service", arguments, environment)
        process.wait_for_port(self.process, self.host, self.port)

    def stop(self) -> None:
        process.stop(self.process)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The process stands still, its connections stay open."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def keeps_state(self) -> bool:
        """Whether the process holds what its keys in Redis do not: settings of its own, or the local-cache mode."""
        health = urllib3.request("GET", f"{self.direct_url}/actuator/health", timeout=15, retries=False)
        return "local-settings" in self.dialects or "localCache" in health.json().get("components", {})

    def renew(self) -> None:
        """As new: running, no data, no faults, no records."""
        if self.process.poll() is None and self.keeps_state():
            self.stop()
        if self.process.poll() is not None:
            self.start()
        forget(self.fleet, self.namespace)
        self.proxy.break_with()
        self.proxy.clear()

    def close(self) -> None:
        self.proxy.close()
        self.stop()
        forget(self.fleet, self.namespace)


class Pair:
    """One service of two processes, each behind a recording proxy of its own."""

    def __init__(self, fleet: Fleet, dialects: Sequence[str]) -> None:
        self.first = Service(fleet, dialects)
        self.second = Service(fleet, dialects, like=self.first)

    @property
    def members(self) -> tuple[Service, Service]:
        return self.first, self.second

    @property
    def args(self) -> dict[str, t.Any]:
        """Options of a module that acts on each process."""
        instances = [{"name": name, "url": member.url, "management_url": member.url} for name, member in zip(("one", "two"), self.members)]
        return {**self.first.args, "instances": instances}

    def writes(self) -> list[list[str]]:
        """The writing calls that each process got."""
        return [[f"{record['method']} {record['path']}" for record in member.proxy.writes()] for member in self.members]

    def renew(self) -> None:
        for member in self.members:
            member.renew()

    def close(self) -> None:
        for member in self.members:
            member.close()


class Services:
    """Keeps one service of each dialect; the least recently used one is stopped when there are too many."""

    def __init__(self, fleet: Fleet, limit: int = 8) -> None:
        self.fleet, self.limit = fleet, limit
        self.kept: dict[tuple[str, ...], Service] = {}

    def get(self, dialects: Sequence[str]) -> Service:
        key = tuple(sorted(dialects))
        service = self.kept.pop(key, None)
        if service:
            service.renew()
        else:
            if len(self.kept) >= self.limit:
                self.kept.pop(next(iter(self.kept))).close()
            service = Service(self.fleet, dialects)
        self.kept[key] = service
        return service

    def close(self) -> None:
        for service in self.kept.values():
            service.close()


class FleetProxy:
    """Recording proxies before the fleet's three instances, and one that takes them in turn as a balancer does."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        members = fleet.facts["instances"]
        kinds = ("url", "management_url", "tls_url")
        balanced = ",".join(member["url"] for member in members)
        self.proxy = ProxyClient([balanced, *(member[kind] for member in members for kind in kinds)],
                                 fleet.tokens, fleet.state)
        urls = self.proxy.urls[1:]
        self.instances = [{"name": member["name"], **dict(zip(kinds, urls[3 * place:3 * place + 3]))}
                          for place, member in enumerate(members)]

    @property
    def args(self) -> dict[str, t.Any]:
        """As `Fleet.args`, through the proxies."""
        return {**self.fleet.args, "service_url": self.proxy.url, "instances": self.instances}

    @property
    def extra_vars(self) -> dict[str, t.Any]:
        """Variables that lead a playbook on the fleet's inventory through the proxies."""
        return {"caching_service_url": self.proxy.url, "caching_instances": self.instances}
