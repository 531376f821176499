# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad variables: each host of one run has another one. Each fails with one clear line, and nothing is changed anywhere."""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.fleet import paths
from tests.harness.plays import Outcome, play
from tests.harness.stage import Stage
from tests.harness.targets import Service, Services

# name: (variables, a telling part of the message)
SITE: dict[str, tuple[dict[str, t.Any], str]] = {
    "regions-number": ({"caching_regions": 5}, "field 'regions' must be a list, not 'int'"),
    "regions-text": ({"caching_regions": "products"}, "dictionary requested"),
    "regions-broken-yaml": ({"caching_regions": "[{name: a"}, "resolving value for 'regions'"),
    "regions-nameless": ({"caching_regions": [{"max_size": 5}]}, "missing required arguments: name found in regions"),
    "regions-duration": ({"caching_regions": [{"name": "a", "default_ttl": "2 hours"}]}, "default_ttl of a: '2 hours' is not a duration"),
    "mistyped": ({"caching_regoins": []}, "caching_regoins is not a variable of exalt.caching; did you mean caching_regions?"),
    "platform": ({"caching_platform": "mainframe"}, "caching_platform"),
    "no-tokens": ({f"caching_{role}_token": "" for role in ("api", "admin", "monitor")}, "no token was sent: give api_token"),
    "no-url": ({"caching_service_url": "", "caching_instances": []}, "service_url: give the URL of the service"),
    "purge-limit": ({"caching_purge_limit": "some"}, "purge_limit"),
    "timeout": ({"caching_timeout": "P1M"}, "timeout: 'P1M' is not a duration; months and years have no fixed length: use days"),
    "ca-path": ({"caching_ca_path": "/nowhere/ca.pem"}, "ca_path: there is no file /nowhere/ca.pem"),
    "instances-text": ({"caching_instances": "[{\"name\": \"no url\"}]"}, "missing required arguments: url found in instances"),
    "endpoints-text": ({"caching_endpoints": "list_region: {path: /x}"}, "did you mean list_regions?"),
    "endpoints": ({"caching_endpoints": {"list_region": {"path": "/x"}}}, "did you mean list_regions?"),
}
INVALIDATE: dict[str, tuple[dict[str, t.Any], str]] = {
    "nothing-given": ({"caching_invalidate_region": ""}, "nothing to invalidate: give caching_invalidations, or caching_invalidate_region"),
    "no-words": ({"caching_invalidate_region": "products"}, "type pattern needs pattern"),
    "wrong-type": ({"caching_invalidate_type": "all", "caching_invalidate_region": "products"},
                   "value of caching_invalidate_type must be one of: key, pattern, tags, region"),
    "wrong-region": ({"caching_invalidate_type": "key", "caching_invalidate_region": "nope", "caching_invalidate_keys": "a, b"}, "there is no region nope"),
    "clear-all": ({"caching_invalidate_type": "region", "caching_invalidate_region": "products"}, "needs max_percent 100, not 10"),
    "too-many": ({"caching_invalidate_type": "key", "caching_invalidate_region": "products", "caching_invalidate_keys": "k1,k2",
                  "caching_max_entries": 1}, "2 entries match, more than max_entries 1"),
    "max-percent": ({"caching_invalidate_region": "products", "caching_invalidate_pattern": "*", "caching_max_percent": "150"},
                    "max_percent goes from 0 to 100"),
    "nonsense": ({"caching_invalidations": "no: list"}, "invalidations"),
    "no-store": ({"caching_invalidate_region": "products", "caching_invalidate_pattern": "*", "caching_request_id": "deploy-1"}, "store_url: give a store"),
}


@pytest.fixture(scope="module")
def target(_services: Services) -> Service:
    service = _services.get(())
    stage = Stage(service)
    stage.region("products")
    stage.entries("products", ["k1", "k2"])
    return service


def run(target: Service, folder: Path, playbook: str, cases: dict[str, tuple[dict[str, t.Any], str]]) -> Outcome:
    common = {
        "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "caching_platform": "none", "caching_service_url": target.url,
        "caching_instances": [{"url": target.url}], "caching_timeout": "PT2S", "caching_retries": 0, "caching_health_timeout": "PT0S",
        "caching_regions": [{"name": "new"}], **{f"caching_{role}_token": token for role, token in target.tokens.items()},
    }
    inventory = folder / "hosts.yml"
    hosts = {name: {**common, **variables} for name, (variables, _told) in cases.items()}
    paths.write(inventory, yaml.safe_dump({"caching_fleet": {"hosts": hosts}}))
    target.proxy.clear()
    return play(playbook, inventory, "--forks", "4")


@pytest.fixture(scope="module", params=[("site", SITE), ("invalidate", INVALIDATE)], ids=["site", "invalidate"])
def outcome(request: pytest.FixtureRequest, target: Service, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, t.Any], Outcome, list[t.Any]]:
    playbook, cases = request.param
    ended = run(target, tmp_path_factory.mktemp(playbook), playbook, cases)
    return playbook, cases, ended, target.proxy.writes()


def test_each_fails_with_one_clear_line_and_a_verdict_that_does_not_repeat_it(outcome: tuple[str, dict[str, t.Any], Outcome, list[t.Any]]) -> None:
    playbook, cases, ended, _writes = outcome
    wrong = {}
    for name, (_variables, told) in cases.items():
        messages = [task["result"].get("msg", "") for task in ended.tasks if task["host"] == name and task["state"] == "failed"]
        own, last = (" ".join(messages[0].split()), messages[-1]) if len(messages) == 2 else (str(messages), "")
        if told not in own or told in last or "\n" in last or not last.startswith(f"{playbook} of {name} did not reach its goal: "):
            wrong[name] = messages
    assert wrong == {}
    said = ended.stdout + ended.stderr
    assert ended.rc == 2 and "Traceback" not in said and "internal error" not in said


def test_each_run_is_recorded_as_failed(outcome: tuple[str, dict[str, t.Any], Outcome, list[t.Any]]) -> None:
    _playbook, cases, ended, _writes = outcome
    records = {record["fleet"]: record for record in ended.custom["exalt_caching_run"]}
    assert {name: record["verdict"] for name, record in records.items()} == dict.fromkeys(cases, "failed")
    assert [name for name, (_variables, told) in cases.items() if told not in records[name]["reason"]] == []


def test_nothing_is_changed(outcome: tuple[str, dict[str, t.Any], Outcome, list[t.Any]], target: Service) -> None:
    _playbook, cases, ended, writes = outcome
    assert ended.changed == 0 and writes == [] and set(ended.hosts) == set(cases)
    stage = Stage(target)
    assert list(stage.regions()) == ["products"] and stage.there("products", "k1")
