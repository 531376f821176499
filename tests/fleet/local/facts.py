# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what others need to know of the fleet: an inventory for playbooks and `fleet.json` for tests."""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path

import yaml

from tests.fleet import paths
from tests.fleet.local.layout import INSTANCES, NODES, OPERATOR, SECRETS, STORE, State

CONTENT = paths.ROOT / "tests/fleet/images/content"


def facts(state: State) -> dict[str, t.Any]:
    operator = state.certificate(OPERATOR)
    return {
        "platform": "supervisor",
        "service_url": INSTANCES[0].facts["url"],
        "instances": [instance.facts for instance in INSTANCES],
        "redis_nodes": [node.address for node in NODES],
        "ca_path": str(state.ca),
        **({
            "redis_tls": True, "redis_ca_path": str(operator / "ca.crt"), "redis_client_cert": str(operator / "tls.crt"),
            "redis_client_key": str(operator / "tls.key"),
        } if state.redis_tls else {}),
        "authority": str(state.authority),
        "certificates": {folder.name: str(folder) for folder in sorted(state.certificate(OPERATOR).parent.iterdir())},
        "supervisor_config": str(state.supervisor_config),
        "supervisorctl": str(Path(sys.executable).parent / "supervisorctl"),
        "database": str(state.database),
        "properties": [str(state.properties(instance.name)) for instance in INSTANCES],
        "store_url": f"s3://{STORE.bucket}/{STORE.prefix}",
        "store_endpoint_url": STORE.url,
        "file_store_url": f"file://{state.store}",
        "inventory": str(state.inventory),
        "logs": str(state.logs),
        "secrets": {name: str(state.secrets / name) for name in SECRETS},
    }


def inventory(state: State) -> dict[str, t.Any]:
    """The local fleet as one host of the group caching_fleet."""
    known, operator = facts(state), state.certificate(OPERATOR)
    secret = {f"caching_{name}": f"{{{{ lookup('ansible.builtin.file', '{known['secrets'][name]}') }}}}"
              for name in (
                  "api_token", "admin_token", "monitor_token", "redis_password", "store_access_key", "store_secret_key")}
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "caching_platform": known["platform"],
        "caching_supervisor_redis": {node.name: node.address for node in NODES},
        "caching_supervisor_version": 'CACHING_VERSION="{version}"',
        "caching_smoke_test": ["sh", str(CONTENT / "smoke-test.sh")],
        # the script knows no TLS
        "caching_compatibility_check": [] if state.redis_tls else ["sh", str(CONTENT / "compatibility-check.sh")],
        "caching_environment": {"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"},
        "caching_certificate_paths": {
            "service": str(state.certificate("{name}")), "redis": str(state.certificate("redis-{number}")), "client": str(operator)},
        "caching_ca": {"path": str(state.folder / "own-authority"),
                       "passphrase": f"{{{{ lookup('ansible.builtin.file', '{known['secrets']['ca_passphrase']}') }}}}"},
        **{f"caching_{name}": known[name] for name in (
            "service_url", "instances", "redis_nodes", "ca_path", "supervisor_config", "supervisorctl", "store_url",
            "store_endpoint_url", "redis_tls", "redis_ca_path", "redis_client_cert", "redis_client_key") if name in known},
        **secret,
    }
    return {"caching_fleet": {"hosts": {"local": host}}}


def write_all(state: State) -> None:
    paths.write(state.inventory, yaml.safe_dump(inventory(state), sort_keys=False, width=120))
    paths.write(state.facts, json.dumps(facts(state), indent=2) + "\n")
