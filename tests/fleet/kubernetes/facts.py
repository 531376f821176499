# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what others need to know of the fleet: an inventory for playbooks and `fleet.json` for tests."""

from __future__ import annotations

import json
import typing as t

import yaml

from tests.fleet import paths
from tests.fleet.images import catalogue
from tests.fleet.kubernetes.layout import NAMESPACE, SECRETS, State


def facts(state: State) -> dict[str, t.Any]:
    return {
        "platform": "kubernetes",
        "kubeconfig": str(state.kubeconfig()),
        "namespace": NAMESPACE,
        "audit_log": str(state.audit),
        "inventory": str(state.inventory),
        "logs": str(state.logs),
        "secrets": {name: str(state.secrets / name) for name in SECRETS},
    }


def inventory(state: State) -> dict[str, t.Any]:
    """One fleet, whose modules run in the runner pod."""
    secrets = facts(state)["secrets"]
    host = {
        "ansible_connection": "kubernetes.core.kubectl",
        "ansible_kubectl_kubeconfig": str(state.kubeconfig()),
        "ansible_kubectl_namespace": NAMESPACE,
        "ansible_kubectl_pod": "deployment/caching-runner",
        "ansible_python_interpreter": "/opt/python/bin/python3",
        "ansible_remote_tmp": "/tmp/.ansible",
        "ansible_pipelining": True,
        "caching_platform": "kubernetes",
        "caching_kubeconfig": str(state.kubeconfig()),
        "caching_runner_image": f"{catalogue.RUNNER}:1",
        "caching_version": catalogue.SERVICE_VERSIONS[0],
        "caching_redis_image": catalogue.REDIS,
        **{f"caching_{name}": f"{{{{ lookup('ansible.builtin.file', '{path}') }}}}" for name, path in secrets.items()},
    }
    return {"caching_fleet": {"hosts": {"kubernetes": host}}}


def write_inventory(state: State) -> None:
    paths.write(state.inventory, yaml.safe_dump(inventory(state), sort_keys=False, width=120))


def write_facts(state: State) -> None:
    paths.write(state.facts, json.dumps(facts(state), indent=2) + "\n")
