# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to create a thousand regions that are compared. Each gives its seconds, and fails if its work isn't done."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

from tests.fleet import paths
from tests.harness.modules import run_module
from tests.harness.plays import play
from tests.harness.stage import Stage
from tests.harness.targets import Fleet, Service

NUMBER = 1000
LOOPED = 60     # a loop of uri takes minutes for all of them: it is measured over so many and scaled
PATH = "/api/v1/cache/regions"
SETTINGS = {"defaultTtl": "PT2H", "maxSize": 50000, "evictionPolicy": "LRU", "enableCompression": True, "enableEncryption": False}
NAMES = [f"bench-{number:04}" for number in range(NUMBER)]
BODIES = [{"name": name, **SETTINGS} for name in NAMES]
DECLARED = [{"name": name, "default_ttl": "PT2H", "max_size": 50000, "eviction_policy": "LRU", "enable_compression": True,
             "enable_encryption": False} for name in NAMES]
CLOCK = "{{ now(utc=true).timestamp() }}"
SHOWN = re.compile(r'"msg": "?(\d+\.\d+)')
PLAY = [{
    "hosts": "localhost", "connection": "local", "gather_facts": False,
    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}, "tasks": [
        {"name": "Begin", "ansible.builtin.debug": {"msg": CLOCK}},
        {"name": "Regions one by one", "when": "one_by_one", "loop": "{{ bodies }}", "loop_control": {"label": "{{ item.name }}"},
         "ansible.builtin.uri": {
            "url": "{{ options.service_url }}" + PATH, "method": "POST", "body_format": "json", "body": "{{ item }}", "status_code": 201,
            "headers": {"Authorization": "Bearer {{ options.admin_token }}"}}},
        {"name": "Regions as a set", "when": "not one_by_one", "exalt.caching.cache_region": "{{ options | combine({'regions': declared}) }}"},
        {"name": "End", "ansible.builtin.debug": {"msg": CLOCK}},
    ]}]


class Failed(Exception):
    """A way did not do its work; its figures would mean nothing."""


class Sample(t.NamedTuple):
    """One measurement: wall time, and of it the processor time that the service used."""

    seconds: float
    service_cpu: float


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def temporary() -> Path:
    folder = paths.cache() / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def fresh(fleet: Fleet) -> Iterator[Service]:
    """A new process of the service, in the standard dialect, without a region."""
    service = Service(fleet, ())
    try:
        yield service
    finally:
        service.close()


def options(service: Service) -> dict[str, t.Any]:
    """Options of a module that speaks with the service itself, not through the proxy."""
    return {**service.args, "service_url": service.direct_url, "management_url": service.direct_url, "timeout": 30}


def _complete(service: Service, number: int) -> None:
    found = len(Stage(service).regions())
    if found != number:
        raise Failed(f"{found} regions are there, expected {number}")


def module(service: Service, changed: bool, through_proxy: bool = False) -> Sample:
    """One run of cache_region, from the start of its interpreter to its end."""
    given = service.args if through_proxy else options(service)
    used = _cpu(service.process.pid)
    result = run_module("cache_region", {**given, "regions": DECLARED}, warm=False)
    if result.get("failed") or result["changed"] is not changed:
        raise Failed(f"cache_region: {result.get('msg') or result['changed']}")
    sample = Sample(result.seconds, _cpu(service.process.pid) - used)
    _complete(service, NUMBER)
    return sample


def _task(service: Service, one_by_one: bool, number: int) -> Sample:
    """The task of a playbook between its neighbours: what a user of Ansible waits for."""
    with tempfile.TemporaryDirectory(dir=temporary()) as folder:
        book = Path(folder) / "book.yml"
        book.write_text(json.dumps(PLAY), encoding="utf-8")
        plain = Path(folder) / "ansible.cfg"
        plain.write_text("[defaults]\nnocolor = true\n", encoding="utf-8")
        given = Path(folder) / "vars.json"
        given.touch(mode=0o600)
        variables = {"one_by_one": one_by_one, "bodies": BODIES[:number], "declared": DECLARED[:number], "options": options(service)}
        given.write_text(json.dumps(variables), encoding="utf-8")
        used = _cpu(service.process.pid)
        outcome = play(str(book), "localhost,", "-e", f"@{given}", env={"ANSIBLE_CONFIG": str(plain)})
    if outcome.rc:
        raise Failed(f"ansible-playbook: {outcome.stdout[-500:]}{outcome.stderr[-500:]}")
    _complete(service, number)
    begin, end = map(float, SHOWN.findall(outcome.stdout))
    return Sample(end - begin, _cpu(service.process.pid) - used)


def task(service: Service) -> Sample:
    return _task(service, False, NUMBER)


def loop_of_uri(service: Service) -> Sample:
    """Scaled to all regions."""
    sample = _task(service, True, LOOPED)
    return Sample(sample.seconds * NUMBER / LOOPED, sample.service_cpu * NUMBER / LOOPED)


def xargs_curl(service: Service) -> Sample:
    """Eight curls at a time, each for one region; the token stands in a file, not in the list of processes."""
    curl, xargs = shutil.which("curl"), shutil.which("xargs")
    if not curl or not xargs:
        raise Failed("curl and xargs are needed for the comparison: install them")
    with tempfile.NamedTemporaryFile("w", dir=temporary(), encoding="utf-8") as config:
        config.write(f'url = "{service.direct_url}{PATH}"\nheader = "Authorization: Bearer {service.tokens["admin"]}"\n'
                     'header = "Content-Type: application/json"\nsilent\nshow-error\nfail\noutput = "/dev/null"\n')
        config.flush()
        body = json.dumps({"name": "NAME", **SETTINGS})
        command = [xargs, "-P8", "-I", "NAME", curl, "--disable", "--config", config.name, "--data", body]
        used, started = _cpu(service.process.pid), time.monotonic()
        ended = subprocess.run(command, input="\n".join(NAMES), capture_output=True, text=True, check=False)
        sample = Sample(time.monotonic() - started, _cpu(service.process.pid) - used)
    if ended.returncode:
        raise Failed(f"xargs curl: {ended.stderr.strip()[-300:]}")
    _complete(service, NUMBER)
    return sample
