# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the project is started from, and what others need to know: an inventory for playbooks, `fleet.json` for tests."""

from __future__ import annotations

import json
import secrets
import typing as t
from pathlib import Path

import yaml

from tests.fleet import paths
from tests.fleet.compose.layout import BRIDGE, COMPOSE_FILE, NETWORK, REDIS_NODES, SECRETS, State
from tests.fleet.docker.engine import Engine
from tests.fleet.images import catalogue

REDIS_CONF = "\n".join((
    "cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000", "appendonly yes", "appendfsync no",
    'save ""', "repl-diskless-sync yes", "repl-diskless-sync-delay 0", "maxmemory 128mb", "maxmemory-policy allkeys-lru", "",
))
APPLICATION = {"cache": {"redis": {"pool": {"maxTotal": 64, "maxIdle": 32, "minIdle": 4}}}}


def project(state: State, redis_version: str) -> None:
    """The directory with the guide's Compose file, the configuration and the secrets."""
    for name in SECRETS:
        paths.write(state.secrets / name, secrets.token_hex(24))
    state.project.mkdir(parents=True, exist_ok=True)
    (state.project / COMPOSE_FILE).write_text((Path(__file__).parent / COMPOSE_FILE).read_text())
    (state.project / "redis.conf").write_text(REDIS_CONF)
    config = state.project / "config"
    config.mkdir(exist_ok=True)
    (config / "application.yml").write_text(yaml.safe_dump(APPLICATION))
    values = {"CACHING_VERSION": catalogue.SERVICE_VERSIONS[0], "REDIS_VERSION": redis_version, "NETWORK": NETWORK, "BRIDGE": BRIDGE,
              **{name.upper(): state.secret(name) for name in SECRETS}}
    paths.write(state.project / ".env", "".join(f"{name}={value}\n" for name, value in values.items()))
    for path in (state.project, config, *state.project.glob("*.*"), config / "application.yml"):     # other users read them in containers
        path.chmod(0o755 if path.is_dir() else 0o644)
    state.store.mkdir(mode=0o700)


def facts(state: State, engine: Engine) -> dict[str, t.Any]:
    return {
        "platform": "compose",
        "docker_host": engine.address,
        "docker_cli": str(engine.client),
        "compose_directory": str(state.project),
        "redis_nodes": list(REDIS_NODES),
        "store_url": f"file://{state.store}",
        "inventory": str(state.inventory),
        "secrets": {name: str(state.secrets / name) for name in SECRETS},
    }


def inventory(state: State, engine: Engine) -> dict[str, t.Any]:
    """One fleet, whose modules run on the Docker host. Its instances and Redis nodes are discovered."""
    known = facts(state, engine)
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "caching_platform": "compose",
        **{f"caching_{name}": known[name] for name in ("compose_directory", "docker_host", "docker_cli", "store_url")},
        **{f"caching_{name}": f"{{{{ lookup('ansible.builtin.file', '{path}') }}}}" for name, path in known["secrets"].items()},
    }
    return {"caching_fleet": {"hosts": {"compose": host}}}


def describe(state: State, engine: Engine) -> None:
    paths.write(state.inventory, yaml.safe_dump(inventory(state, engine), sort_keys=False, width=120))
    paths.write(state.facts, json.dumps(facts(state, engine), indent=2) + "\n")
