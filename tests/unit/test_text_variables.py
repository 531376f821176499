# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables that have a structure and come as text, from a survey: what is read as YAML, and what is taken as it is."""

from __future__ import annotations

import json
import typing as t

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.filter import AnsibleJinja2Filter
from ansible.plugins.loader import filter_loader
from ansible.template import Templar, trust_as_template
from ansible_collections.exalt.caching.plugins.filter.seconds import seconds

from tests.fleet.paths import ROOT
from tests.harness.templates import trusted

DEFAULTS = yaml.safe_load((ROOT / "roles/caching/defaults/main.yml").read_text())
REDIS = (ROOT / "roles/caching/templates/redis.conf.j2").read_text()
SERVICE = (ROOT / "roles/caching/templates/kubernetes/service.yml.j2").read_text()
COMPOSE = (ROOT / "roles/caching/templates/compose/project.yml.j2").read_text()


@pytest.fixture(autouse=True)
def _filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a playbook nobody looks into collections for filters."""
    known = filter_loader.get
    monkeypatch.setattr(filter_loader, "get", lambda name, **more: AnsibleJinja2Filter(seconds) if name == "exalt.caching.seconds" else known(name, **more))


def rendered(template: str, **given: t.Any) -> t.Any:
    known = {**trusted(DEFAULTS), "inventory_hostname": "local", "__caching_compose_redis_conf": "", **given}
    return Templar(loader=DataLoader(), variables=known).template(trust_as_template(template))


@pytest.mark.parametrize(("given", "found"), [
    ([], []), ("", []), ("[]", []), (["a", "b"], ["a", "b"]), ('["a", "b"]', ["a", "b"]), ("- a\n- b", ["a", "b"]), ("a, b", "a, b"), ("a", "a"),
    ("*a: {b", "*a: {b"), ("0123", "0123"), ("[a", "[a"),
])
def test_keys_from_before(given: t.Any, found: t.Any) -> None:
    assert rendered("{{ __caching_previous_keys }}", caching_previous_signing_keys=given) == found


@pytest.mark.parametrize(("given", "found"), [
    ([], []), ("", []), ("[]", []), (["*:1"], ["*:1"]), ('["products::*", "[ab]*"]', ["products::*", "[ab]*"]), ("- 'a*'\n- b", ["a*", "b"]),
    ("[products::*, b]", ["products::*", "b"]), ("*::1", ["*::1"]), ("[ab]*", ["[ab]*"]), ("[ab]*, [cd]", ["[ab]*", "[cd]"]), ("a\nb, c", ["a", "b", "c"]),
])
def test_patterns_of_keys(given: t.Any, found: t.Any) -> None:
    assert rendered("{{ __caching_restore_keys }}", caching_restore_keys=given) == found


@pytest.mark.parametrize(("given", "found"), [
    ([], []), ("", []), ("[]", []), (["*"], ["*"]), ("*", ["*"]), ("*.level, app.a", ["*.level", "app.a"]), ('["a.*", "b"]', ["a.*", "b"]), ("- a.*", ["a.*"]),
    ("app.pool.*", ["app.pool.*"]),
])
def test_patterns_of_live_keys(given: t.Any, found: t.Any) -> None:
    assert rendered("{{ __caching_configuration_live }}", caching_configuration_live=given) == found


@pytest.mark.parametrize(("given", "tls", "found"), [
    ({}, False, False), ("{}", False, False), ("", False, False), ({}, True, True), ({"service": {}}, False, True), ("{service: {}}", False, True),
])
def test_certificates_are_managed_where_some_are_declared(given: t.Any, tls: bool, found: bool) -> None:
    assert rendered("{{ caching_manage_certificates | bool }}", caching_certificates=given, caching_redis_tls=tls) is found


def redis_conf(settings: t.Any) -> list[str]:
    return str(rendered(REDIS, caching_redis_settings=settings)).splitlines()


@pytest.mark.parametrize("write", [lambda value: value, json.dumps, yaml.safe_dump])
def test_settings_of_redis(write: t.Callable[[t.Any], t.Any]) -> None:
    given = {"save": None, "appendonly": False, "hz": 0, "masteruser": "", "maxclients": 500,
             "client-output-buffer-limit": ["normal 0 0 0", "replica 1gb 256mb 60"], "loadmodule": []}
    lines = redis_conf(write(given))
    assert {'save ""', "appendonly no", "hz 0", 'masteruser ""', "maxclients 500", 'loadmodule ""'} <= set(lines)
    at = lines.index("client-output-buffer-limit normal 0 0 0")
    assert lines[at + 1] == "client-output-buffer-limit replica 1gb 256mb 60"
    assert not [line for line in lines if "None" in line or "[" in line or not line.strip()]


def test_settings_of_redis_that_are_not_declared() -> None:
    assert redis_conf({}) == redis_conf("") == redis_conf("{}")
    assert redis_conf({})[:3] == ["port 6379", "cluster-enabled yes", "cluster-config-file nodes.conf"] and 'save ""' in redis_conf({})


@pytest.mark.parametrize(("given", "found"), [({}, ""), ("", ""), ({"save": [900, 1]}, ""), ({"a": {"b": 1}, "c": {}}, "a, c"), ("{a: {b: 1}}", "a")])
def test_a_mapping_is_no_setting_of_redis(given: t.Any, found: str) -> None:
    assert rendered("{{ __caching_redis_unfit }}", caching_redis_settings=given) == found


@pytest.mark.parametrize(("given", "found"), [
    ({}, {"value": "", "valueFrom": {"secretKeyRef": {"name": "caching-service-secret", "key": "REDIS_PASSWORD", "optional": True}}}),
    ({"SPRING_DATA_REDIS_PASSWORD": "mine"}, {"value": "mine"}),
])
def test_the_service_has_the_password_by_the_name_that_spring_knows(given: dict[str, str], found: dict[str, t.Any]) -> None:
    text = rendered(SERVICE, caching_environment=given, caching_platform="kubernetes")
    (deployment,) = [one for one in yaml.safe_load_all(text) if one and one["kind"] == "Deployment"]
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [one for one in env if one["name"] == "SPRING_DATA_REDIS_PASSWORD"] == [{"name": "SPRING_DATA_REDIS_PASSWORD", **found}]
    assert len({one["name"] for one in env}) == len(env)


@pytest.mark.parametrize(("kept", "found"), [("", 3), ("0", 0), (0, 0), ("5", 5)])
def test_how_many_there_are_where_an_autoscaler_decides(kept: t.Any, found: int) -> None:
    text = rendered(SERVICE, caching_platform="kubernetes", __caching_deploy_replicas=kept)
    assert [one["spec"]["replicas"] for one in yaml.safe_load_all(text) if one and one["kind"] == "Deployment"] == [found]


def project(**given: t.Any) -> t.Any:
    return yaml.safe_load(rendered(COMPOSE, caching_platform="compose", caching_compose_directory="/srv/caching", **given))


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump])
def test_a_project_of_compose_is_the_same_from_text(write: t.Callable[[t.Any], str]) -> None:
    structured = {
        "caching_compose_writable": ["/tmp", "/data"], "caching_compose_logging": {"max-size": "1m"}, "caching_compose_healthcheck": ["CMD", "true"],
        "caching_compose_redis_command": ["redis-server", "/etc/redis/redis.conf"],
        "caching_compose_network": {"ipam": {"config": [{"subnet": "10.1.2.0/24"}]}}, "caching_environment": {"A": "b"},
    }
    wanted = project(**structured)
    if write is yaml.safe_dump:
        structured["caching_compose_writable"] = "/tmp, /data"
        text = {name: value if isinstance(value, str) else write(value) for name, value in structured.items()}
    else:
        text = {name: write(value) for name, value in structured.items()}
    assert project(**text) == wanted
    redis = wanted["services"]["redis-cluster-0"]
    assert redis["networks"]["default"]["ipv4_address"] == "10.1.2.20" and redis["entrypoint"] == ["redis-server", "/etc/redis/redis.conf"]


def test_a_command_for_compose_may_be_plain_text() -> None:
    services = project(caching_compose_healthcheck="curl -f http://127.0.0.1/", caching_compose_redis_command="redis-server /x")["services"]
    assert services["caching-service"]["healthcheck"]["test"] == "curl -f http://127.0.0.1/" and services["redis-cluster-0"]["entrypoint"] == "redis-server /x"


@pytest.mark.parametrize(("given", "found"), [("PT60S", "60s"), ("60s", "60s"), ("1m30s", "1m30s"), (90, "90s"), ("PT1M0.5S", "61s")])
def test_when_a_container_has_started(given: t.Any, found: str) -> None:
    assert project(caching_compose_start_period=given)["services"]["caching-service"]["healthcheck"]["start_period"] == found


def test_what_is_no_duration_is_refused() -> None:
    with pytest.raises(AnsibleError, match="caching_compose_start_period: '5 minutes' is not a duration"):
        project(caching_compose_start_period="5 minutes")
