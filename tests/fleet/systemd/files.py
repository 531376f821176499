# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, secrets and what differs between hosts; an inventory for playbooks and `fleet.json` for tests."""

from __future__ import annotations

import io
import json
import secrets
import tarfile
import typing as t

import yaml
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.fleet import paths
from tests.fleet.docker.engine import Engine
from tests.fleet.images import catalogue
from tests.fleet.systemd.host_image import MODULES_PYTHON, OPERATOR
from tests.fleet.systemd.layout import (
    BALANCER, HOSTS, REDIS_HOSTS, REDIS_NODES, REDIS_PORTS, SECRETS, SERVICE_HOSTS, Host, State,
)

REDIS_CONF = "\n".join((
    "cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000", "appendonly yes", "appendfsync no",
    'save ""', "repl-diskless-sync yes", "repl-diskless-sync-delay 0", "maxmemory 128mb", "maxmemory-policy allkeys-lru", "",
))
APPLICATION = {"cache": {"redis": {"pool": {"maxTotal": 64, "maxIdle": 32, "minIdle": 4}}}}
WANTS = "etc/systemd/system/multi-user.target.wants"
UNITS = {"service": ("caching-service.service",), "redis": tuple(f"redis@{port}.service" for port in REDIS_PORTS), "balancer": ()}
Content = dict[str, tuple[str, int]]


def _key() -> tuple[str, str]:
    """A private and a public key in OpenSSH's form."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()).decode()
    return private, key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()


def _balancer() -> str:
    lines = ["global", "    stats socket /run/haproxy/admin.sock mode 660 level admin", "    maxconn 2000", "defaults", "    mode http",
             "    timeout connect 2s", "    timeout client 60s", "    timeout server 60s", "    default-server inter 500ms fall 2 rise 1"]
    for name, port in (("data", 8403), ("management", 8404)):
        lines += [f"listen {name}", f"    bind {BALANCER.address}:{port}", "    balance roundrobin",
                  "    option httpchk GET /actuator/health/readiness", "    option redispatch", "    retry-on conn-failure"]
        lines += [f"    server {host.name} {host.address}:{port} check port 8404" for host in SERVICE_HOSTS]
    return "\n".join(lines) + "\n"


def _content(state: State, host: Host, host_key: str, operator: str) -> Content:
    """The files of one host: name -> content and mode."""
    found: Content = {"etc/ssh/ssh_host_ed25519_key": (host_key, 0o600), "etc/ssh/authorized_keys": (f"{operator} {OPERATOR}\n", 0o644)}
    password = state.secret("redis_password")
    match host.kind:
        case "service":
            known = {
                "PYTHONHOME": "/opt/python", "PYTHONPATH": "/app:/opt/site", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
                "CACHING_VERSION": catalogue.SERVICE_VERSIONS[0], "CACHING_REDIS_NODES": ",".join(REDIS_NODES),
                "CACHING_CONFIG": "/etc/caching-service/application.yml", "CACHING_DRAIN": "0.2", "JAVA_OPTS": "",
                "CACHING_DATABASE": "/var/lib/caching-service/database.sqlite", "REDIS_PASSWORD": password,
                **{name.upper(): state.secret(name) for name in SECRETS},
            }
            found["etc/caching-service/environment"] = ("".join(f"{name}={value}\n" for name, value in known.items()), 0o600)
            found["etc/caching-service/application.yml"] = (yaml.safe_dump(APPLICATION), 0o644)
        case "redis":
            found["etc/redis/environment"] = (f"REDIS_PASSWORD={password}\n", 0o600)
            found["etc/redis/redis.conf"] = (REDIS_CONF, 0o644)
        case _:
            found["etc/haproxy/fleet.cfg"] = (_balancer(), 0o644)
    return found


def archive(content: Content, units: t.Iterable[str]) -> bytes:
    """What is copied into a host before it starts; units are enabled by links."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, (text, mode) in content.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text.encode()), mode
            tar.addfile(info, io.BytesIO(text.encode()))
        for unit in units:
            link = tarfile.TarInfo(f"{WANTS}/{unit}")
            template = f"{unit.partition('@')[0]}@.service" if "@" in unit else unit
            link.type, link.linkname = tarfile.SYMTYPE, f"/etc/systemd/system/{template}"
            tar.addfile(link)
    return packed.getvalue()


def write_all(state: State) -> dict[str, bytes]:
    """Secrets and keys; what each host gets, by its name."""
    for name in SECRETS:
        paths.write(state.secrets / name, secrets.token_hex(24))
    state.store.mkdir(mode=0o700)
    private, operator = _key()
    paths.write(state.key, private)
    known, result = [], {}
    for host in HOSTS:
        host_key, public = _key()
        known.append(f"{host.address} {public}\n")
        result[host.name] = archive(_content(state, host, host_key, operator), UNITS[host.kind])
    paths.write(state.known_hosts, "".join(known))
    return result


def facts(state: State, engine: Engine) -> dict[str, t.Any]:
    return {
        "platform": "systemd",
        "docker_host": engine.address,
        "service_url": f"http://{BALANCER.address}:8403",
        "redis_nodes": list(REDIS_NODES),
        "store_url": f"file://{state.store}",
        "inventory": str(state.inventory),
        "key": str(state.key),
        "known_hosts": str(state.known_hosts),
        "secrets": {name: str(state.secrets / name) for name in SECRETS},
    }


def inventory(state: State, engine: Engine) -> dict[str, t.Any]:
    """One fleet, whose modules run here; its hosts are in the three groups of members and reached by SSH."""
    known = facts(state, engine)
    fleet = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "caching_platform": "systemd",
        "caching_redis_ports": list(REDIS_PORTS),
        "caching_service_url": known["service_url"],
        "caching_store_url": known["store_url"],
        **{f"caching_{name}": f"{{{{ lookup('ansible.builtin.file', '{path}') }}}}" for name, path in known["secrets"].items()},
    }

    def group(hosts: t.Iterable[Host]) -> dict[str, t.Any]:
        return {"hosts": {host.name: {"ansible_host": host.address} for host in hosts}}

    reached = {
        "ansible_user": OPERATOR, "ansible_pipelining": True, "ansible_remote_tmp": "/tmp/.ansible-operator",
        "ansible_ssh_private_key_file": str(state.key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={state.known_hosts} -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes",
        "ansible_python_interpreter": MODULES_PYTHON,
    }
    members = {"caching_service": group(SERVICE_HOSTS), "caching_redis": group(REDIS_HOSTS), "caching_balancer": group([BALANCER])}
    return {"caching_fleet": {"hosts": {"systemd": fleet}}, "caching_hosts_by_ssh": {"children": members, "vars": reached}}


def describe(state: State, engine: Engine) -> None:
    paths.write(state.inventory, yaml.safe_dump(inventory(state, engine), sort_keys=False, width=160))
    paths.write(state.facts, json.dumps(facts(state, engine), indent=2) + "\n")
