# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Canary tokens in every secret input, each playbook and module at -vvvv, also failing and crashing: nothing shows them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fleet import paths
from tests.harness.canary import Canaries, CommandLines, Finding, fresh
from tests.harness.modules import run_module
from tests.harness.plays import Outcome, play
from tests.harness.stage import Stage
from tests.harness.targets import Fleet, Service

ROLES = ("api", "admin", "monitor")
# An internal function raises with the token in its message: what nobody has foreseen.
CRASH = """
import urllib3
def crash(self, method, url, headers=None, **options):
    raise RuntimeError("planted crash " + str(headers) + " " + str((headers or {}).get("Authorization")))
urllib3.PoolManager.request = crash
"""
LEAK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Output
      ansible.builtin.debug:
        msg: "Bearer {{ caching_api_token }}"
    - name: Base64 in an artifact
      ansible.builtin.set_stats:
        data: {planted: "{{ ('x:' ~ caching_admin_token) | b64encode }}"}
    - name: A file that stays
      ansible.builtin.copy:
        content: "{{ caching_monitor_token | urlencode }}"
        dest: "{{ lookup('ansible.builtin.env', 'TMPDIR') }}/left"
        mode: "0600"
      no_log: true
    - name: A command line
      ansible.builtin.command:
        argv: [sh, -c, "sleep 0.3; true", "{{ caching_redis_password }}"]
      no_log: true
      failed_when: false
"""


class CanaryService(Service):
    """The reference service, with canaries as its tokens."""

    def start(self) -> None:
        if not self.tokens["api"].startswith("api+"):
            self.tokens = {role: fresh(role) for role in ROLES}
        super().start()


@pytest.fixture(scope="module")
def target(fleet: Fleet) -> Iterator[CanaryService]:
    service = CanaryService(fleet, ())
    try:
        stage = Stage(service)
        stage.region("products")
        stage.entries("products", ["k1", "k2"], ["seasonal"])
        yield service
    finally:
        service.close()


class Guard:
    """Runs playbooks in folders of their own, and looks for the canaries in all that comes out or stays behind."""

    def __init__(self, target: CanaryService, folder: Path) -> None:
        self.target, self.folder = target, folder
        self.canaries = Canaries(
            **target.tokens, redis_password=target.fleet.state.secret("redis_password"), url_password=fresh("url"),
            wrong_token=fresh("wrong"), wrong_password=fresh("redis"), store_secret=fresh("s3"), report_token=fresh("report"),
        )
        self.known = self.canaries.secrets
        self.given = folder / "given"       # what the user gives: the only place where the secrets may stand
        self.outside = folder / "outside"   # everything that a run writes
        self.inventory = self.given / "hosts.yml"
        for name in ("tmp", "home", "ansible"):
            (self.outside / name).mkdir(parents=True)
        self._write_inventory()

    def _write_inventory(self) -> None:
        crash = self.given / "crash"
        paths.write(crash / "sitecustomize.py", CRASH)
        python = self.given / "python"
        paths.write(python, f'#!/bin/sh\nPYTHONPATH="{crash}" exec "{sys.executable}" "$@"\n')
        python.chmod(0o700)
        args, redis = self.target.args, self.target.redis_args
        common = {
            "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "caching_platform": "none",
            "caching_service_url": args["service_url"], "caching_management_url": args["management_url"],
            "caching_timeout": "PT2S", "caching_retries": 0, "caching_health_timeout": "PT0S",
            "caching_instances": [{"url": args["service_url"], "management_url": args["management_url"]}], "caching_redis_nodes": redis["redis_nodes"],
            "caching_redis_key_format": redis["key_format"], "caching_redis_tag_format": redis["tag_format"],
            "caching_store_url": f"file://{self.outside}/store", "caching_export_path": f"{self.outside}/host_vars",
            "caching_regions": [{"name": "products", "max_size": 500}, {"name": "new"}], "caching_max_percent": 100,
            "caching_invalidations": [{"type": "pattern", "region": "products", "pattern": "k*"}, {"type": "tags", "region": "products", "tags": ["seasonal"]}],
            **{f"caching_{role}_token": self.known[role] for role in ROLES}, "caching_redis_password": self.known["redis_password"],
        }
        by_host: dict[str, dict[str, t.Any]] = {
            "normal": {},
            "refused": {f"caching_{role}_token": self.known["wrong_token"] for role in ROLES} | {"caching_redis_password": self.known["wrong_password"]},
            "redis-refuses": {"caching_redis_password": self.known["wrong_password"]},
            "password-in-url": {"caching_service_url": f"http://ops:{self.known['url_password']}@127.0.0.1:1",
                                "caching_instances": [{"url": f"http://ops:{self.known['url_password']}@127.0.0.1:1"}],
                                "caching_store_url": f"s3://key:{self.known['url_password']}@bucket", "caching_request_id": "deploy-1"},
            "crashing": {"ansible_python_interpreter": str(python)},
        }
        content = {"caching_fleet": {"hosts": {name: {**common, **more} for name, more in by_host.items()}}}
        paths.write(self.inventory, yaml.safe_dump(content))

    def run(self, playbook: str, *extra: str, check: bool = False) -> tuple[Outcome, list[Finding]]:
        out = self.outside
        env = {
            "TMPDIR": f"{out}/tmp", "HOME": f"{out}/home", "ANSIBLE_HOME": f"{out}/ansible", "ANSIBLE_REMOTE_TEMP": f"{out}/ansible/tmp",
            "ANSIBLE_LOG_PATH": f"{out}/ansible.log", "ANSIBLE_CALLBACKS_ENABLED": "exalt_record,ansible.builtin.junit",
            "JUNIT_OUTPUT_DIR": f"{out}/junit", "ANSIBLE_SHOW_CUSTOM_STATS": "true", "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "true",
            "AWS_SECRET_ACCESS_KEY": self.known["store_secret"],
        }
        with CommandLines() as lines:
            outcome = play(playbook, self.inventory, "-vvvv", *extra, check=check, env=env)
        found = self.canaries.in_text(outcome.stdout, "stdout") + self.canaries.in_text(outcome.stderr, "stderr")
        found += self.canaries.in_text(json.dumps(outcome.tasks), "results") + self.canaries.in_text(json.dumps(outcome.custom), "artifacts")
        return outcome, found + lines.findings(self.canaries) + self.canaries.in_folder(out)


@pytest.fixture
def guard(target: CanaryService) -> Iterator[Guard]:
    # not tmp_path: ansible-playbook puts a socket below TMPDIR, and a unix socket's path is limited to 107 bytes
    with tempfile.TemporaryDirectory(prefix="guard-") as folder:
        yield Guard(target, Path(folder))


@pytest.mark.hazard("H01", "H04")
@pytest.mark.parametrize(("playbook", "check"), [
    ("site", True), ("invalidate", True), ("export", True),     # site has the steps of configure and status
    ("site", False), ("configure", False), ("status", False), ("export", False), ("invalidate", False),
])
def test_no_playbook_shows_a_secret(guard: Guard, playbook: str, check: bool) -> None:
    """Hosts that work, are refused, and crash, in one run, at the highest verbosity, with a log and reports."""
    limit = () if playbook == "invalidate" else ("--limit", "!redis-refuses")
    outcome, found = guard.run(playbook, *limit, check=check)
    assert found == []
    assert outcome.hosts, outcome.stdout[-3000:] + outcome.stderr[-3000:]
    hosts = {name: host["failures"] > 0 for name, host in outcome.hosts.items()}
    assert hosts["normal"] is False, [line for line in outcome.stdout.splitlines() if "of normal did not reach its goal" in line]
    assert hosts["refused"] and hosts.get("redis-refuses", True) and hosts["crashing"] and hosts["password-in-url"]
    assert (guard.outside / "ansible.log").stat().st_size > 10_000 and list((guard.outside / "junit").glob("*.xml")), "log and report were written"
    assert "planted crash" in outcome.stdout and "internal error, please report it: RuntimeError" in outcome.stdout


MODULES: dict[str, dict[str, t.Any]] = {
    "cache_region": {"regions": [{"name": "products", "max_size": 600}]}, "cache_info": {"subset": ["regions", "region_stats"]},
    "cache_health_info": {"single_instance": True, "components": ["redis"]},
    "cache_invalidate": {"invalidations": [{"type": "pattern", "region": "products", "pattern": "k*"}], "max_percent": 100},
    "cache_entry": {"region": "products", "entries": [{"key": "k3", "value": 1}]},
    "cache_warm": {"region": "products", "state": "cancelled"},
    "cache_warm_schedule": {"schedules": [{"name": "n", "schedule": "0 1 * * *", "region": "products", "strategy": "popular-items"}]},
    "cache_feature": {"features": [{"name": "write-through", "rollout_percentage": 5}]},
    "cache_settings": {"single_instance": True, "redis_timeouts": {"connection_timeout": "PT1S"}},
    "cache_mode": {"single_instance": True, "state": "local_cache", "regions": ["elsewhere"]},
    "cache_task": {"task": "cleanup_expired"},
    "cache_kpi_info": {"single_instance": True, "window": 1},
    "cache_report": {"single_instance": True, "window": 1, "publish_url": "http://127.0.0.1:9/reports"},
    "redis_cluster_info": {"subset": ["topology", "health", "configuration", "security"]},
    "redis_config": {"settings": {"maxmemory-samples": 5}},
}
REDIS = ("redis_cluster_info", "redis_config")
# Those that go on without what they can't read, and tell it as unknown.
TOLERANT = {"cache_health_info": ("refused",), "cache_kpi_info": ("refused",), "redis_cluster_info": ("crash",), "redis_config": ("crash",)}


@pytest.mark.hazard("H01")
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("mode", ["normal", "check", "refused", "crash", "environment"])
def test_no_module_shows_a_secret(guard: Guard, module: str, mode: str) -> None:
    target, known = guard.target, guard.known
    secret = {"store_secret_key": known["store_secret"], **target.redis_args} if module == "cache_invalidate" else {}
    secret |= {"destination": f"{guard.outside}/reports", "publish_token": known["report_token"]} if module == "cache_report" else {}
    options = {**target.args, "retries": 0, **secret, **MODULES[module]}
    if module in REDIS:
        options = {**target.fleet.redis_args, **MODULES[module], **({"redis_password": known["wrong_password"]} if mode == "refused" else {})}
    tokens = {f"{role}_token": known["wrong_token"] if mode == "refused" else known[role] for role in ROLES}
    env = {"TMPDIR": f"{guard.outside}/tmp", "HOME": f"{guard.outside}/home"}
    if mode == "environment":
        options = {name: value for name, value in options.items() if name not in tokens and name != "redis_password"}
        env |= {name.upper(): value for name, value in tokens.items()} | {"REDIS_PASSWORD": known["redis_password"]}
    elif module not in REDIS:
        options |= tokens
    if module == "redis_config":
        options["secrets"] = {"masterauth": known["redis_password"]}
    if mode == "crash":
        env["PYTHONPATH"] = f"{guard.given}/crash:{paths.ROOT}"
    with CommandLines() as lines:
        result = run_module(module, options, check=mode == "check", verbosity=4, env=env, warm=False)
    said = guard.canaries.in_text(result.stdout, "stdout") + guard.canaries.in_text(result.stderr, "stderr")
    assert said + lines.findings(guard.canaries) + guard.canaries.in_folder(guard.outside) == []
    fails = mode in ("crash", "refused") and mode not in TOLERANT.get(module, ()) or module == "cache_report" and mode != "check"
    assert bool(result.get("failed")) is fails, result
    assert mode != "crash" or not fails or "planted crash" in result["msg"]


def test_planted_leaks_are_found(guard: Guard) -> None:
    """Positive control: the same scanner finds what is printed, encoded in an artifact, left in a file, and on a command line."""
    book = guard.given / "leak.yml"
    paths.write(book, LEAK)
    _outcome, found = guard.run(str(book), "--limit", "normal")
    assert {(finding.canary, finding.place.rpartition("/")[2]) for finding in found} >= {
        ("api", "stdout"), ("api", "ansible.log"), ("api", "results"), ("admin", "artifacts"), ("monitor", "left"), ("redis_password", "a command line")}
    assert {"plain", "path"} <= {finding.form for finding in found} and any(finding.form.startswith("base64") for finding in found)


def test_every_form_is_found() -> None:
    canaries = Canaries(one=fresh("one"))
    secret = canaries.secrets["one"]
    encode = "import base64, sys; print(base64.b64encode(sys.argv[1].encode()).decode(), sys.argv[1].encode().hex().upper())"
    for before in ("", "a", "ab", "abc"):
        shown = subprocess.run([sys.executable, "-c", encode, before + secret + "tail"], capture_output=True, text=True, check=True).stdout
        assert {finding.form.partition("+")[0] for finding in canaries.in_text(shown, "")} >= {"hex", "base64"}
    assert canaries.in_text(secret[:-6], "") == []
