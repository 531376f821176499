# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of other things than regions, each by its module and by a loop of uri: entries, feature flags, warm schedules."""

from __future__ import annotations

import json
import tempfile
import typing as t
from pathlib import Path

from tests.benchmarks import ways
from tests.benchmarks.ways import CLOCK, LOOPED, SHOWN, Failed
from tests.harness.modules import run_module
from tests.harness.plays import play
from tests.harness.stage import Stage
from tests.harness.targets import Fleet, Service

ENTRIES, FLAGS, SCHEDULES = 5000, 200, 200
PREFIX = "/api/v1/cache/regions/products/keys/"


class Kind(t.NamedTuple):
    """One kind of thing: the module and its options, and the requests of a loop that does the same."""

    name: str
    number: int
    module: str
    options: dict[str, t.Any]
    requests: list[dict[str, t.Any]]
    accepted: int


def kinds() -> list[Kind]:
    entries = [{"key": f"bench:{number}", "value": {"id": number, "text": "x" * 100}, "ttl": "PT4H"} for number in range(ENTRIES)]
    flags = [{"name": f"flag-{number}", "enabled": number % 2 == 0, "rollout_percentage": number % 101} for number in range(FLAGS)]
    schedules = [{"name": f"warm-{number}", "schedule": f"{number % 60} {number % 24} * * *", "region": "products", "strategy": "popular-items"}
                 for number in range(SCHEDULES)]
    return [
        Kind("entries", ENTRIES, "cache_entry", {"region": "products", "entries": entries}, [
            {"method": "PUT", "path": PREFIX + entry["key"].replace(":", "%3A"), "body": {"value": entry["value"], "ttl": entry["ttl"]}}
            for entry in entries], 200),
        Kind("feature flags", FLAGS, "cache_feature", {"features": flags}, [
            {"method": "PUT", "path": f"/admin/features/{flag['name']}", "body": {"enabled": flag["enabled"], "rolloutPercentage": flag["rollout_percentage"]}}
            for flag in flags], 200),
        Kind("warm schedules", SCHEDULES, "cache_warm_schedule", {"schedules": schedules, "overlap_window": 0}, [
            {"method": "POST", "path": "/admin/cache/warm/schedule", "body": schedule} for schedule in schedules], 201),
    ]


def measure(fleet: Fleet, kind: Kind) -> dict[str, float]:
    """Seconds of the first apply, of a run with nothing to do (all is read back), and of the loop, scaled."""
    found: dict[str, float] = {}
    with ways.fresh(fleet) as service:
        Stage(service).region("products")
        for name, changed in (("first", True), ("nothing", False)):
            result = run_module(kind.module, {**ways.options(service), **kind.options}, warm=False)
            if result.get("failed") or result["changed"] is not changed:
                raise Failed(f"{kind.module}: {result.get('msg') or result['changed']}")
            done = len(result["summary"]["created"] if changed else result["summary"]["unchanged"])
            if done != kind.number:
                raise Failed(f"{kind.module}: {done} of {kind.number} {kind.name} were {'made' if changed else 'as declared'}")
            found[name] = result.seconds
    with ways.fresh(fleet) as service:
        Stage(service).region("products")
        found["loop"] = _loop(service, kind) * kind.number / LOOPED
    return found


def _loop(service: Service, kind: Kind) -> float:
    given = ways.options(service)
    tasks = [
        {"name": "Begin", "ansible.builtin.debug": {"msg": CLOCK}},
        {"name": "One by one", "loop": "{{ requests }}", "loop_control": {"label": "{{ item.path }}"}, "ansible.builtin.uri": {
            "url": "{{ url }}{{ item.path }}", "method": "{{ item.method }}", "body_format": "json", "body": "{{ item.body }}",
            "status_code": [kind.accepted, 200, 201, 204], "headers": {"Authorization": "Bearer {{ token }}"}}},
        {"name": "End", "ansible.builtin.debug": {"msg": CLOCK}},
    ]
    book = [{"hosts": "localhost", "connection": "local", "gather_facts": False,
             "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}, "tasks": tasks}]
    with tempfile.TemporaryDirectory(dir=ways.temporary()) as folder:
        path, variables, plain = (Path(folder) / name for name in ("book.yml", "vars.json", "ansible.cfg"))
        path.write_text(json.dumps(book), encoding="utf-8")
        plain.write_text("[defaults]\nnocolor = true\n", encoding="utf-8")
        variables.touch(mode=0o600)
        variables.write_text(json.dumps({"url": service.direct_url, "token": given["admin_token"], "requests": kind.requests[:LOOPED]}), encoding="utf-8")
        outcome = play(str(path), "localhost,", "-e", f"@{variables}", env={"ANSIBLE_CONFIG": str(plain)})
    if outcome.rc:
        raise Failed(f"ansible-playbook: {outcome.stdout[-500:]}{outcome.stderr[-500:]}")
    begin, end = map(float, SHOWN.findall(outcome.stdout))
    return end - begin
