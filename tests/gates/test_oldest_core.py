# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules run with the oldest ansible-core that meta/runtime.yml promises, by an installation of its own in the cache."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.fleet.paths import ROOT
from tests.gates.conftest import Tools


def oldest() -> str:
    """Such as 2.18."""
    promised = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"]
    found = re.fullmatch(r">=(\d+\.\d+)\.0", promised)
    assert found, promised
    return found[1]


@pytest.fixture(scope="module")
def ansible(tools: Tools) -> Path:
    """The folder with its programs."""
    place = tools.home / f"core-{oldest()}-{sys.version_info.major}.{sys.version_info.minor}"
    stamp = place / "ready"
    if not stamp.exists():
        tools.run(sys.executable, "-m", "venv", "--clear", place)
        tools.run(place / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"ansible-core=={oldest()}.*", "urllib3")
        stamp.touch()
    return place / "bin"


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the oldest ansible-core does not run on it")
def test_each_task_runs_its_own_module(tools: Tools, ansible: Path, tmp_path: Path) -> None:
    """By every action of the collection, with the defaults of its group."""
    tasks = [
        {"exalt.caching.operation_lock": {"store_url": f"file://{tmp_path}/store", "name": "a", "scope": "content", "owner": "me"}},
        {"exalt.caching.cache_health_info": {}, "ignore_errors": True},
        {"exalt.caching.cache_warm": {"region": "a", "strategy": "popular-items"}, "ignore_errors": True},
        {"exalt.caching.redis_backup": {"store_url": f"file://{tmp_path}/store"}, "ignore_errors": True},
    ]
    playbook = tmp_path / "book.yml"
    playbook.write_text(yaml.safe_dump([{
        "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks,
        "module_defaults": {"group/exalt.caching.service": {"service_url": "http://127.0.0.1:9", "retries": 0, "timeout": 1}}}]))
    assert f"core {oldest()}." in tools.run(ansible / "ansible", "--version")
    said = tools.run(ansible / "ansible-playbook", playbook, "-i", "localhost,", "-e", f"ansible_python_interpreter={ansible / 'python'}")
    lock, health, warm, backup = said.split("TASK [")[1:]
    assert "changed: [localhost]" in lock, said
    assert "the service is not healthy" in health and "/api/v1/cache/warm/status: no connection" in warm, said
    assert "missing required arguments: cluster" in backup and "ignored=3" in backup, said
