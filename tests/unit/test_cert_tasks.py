# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tasks of role security decide from what was looked at: whom they ask, what goes back, and what is refused before anything is written."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.filter import AnsibleJinja2Filter
from ansible.plugins.loader import filter_loader
from ansible.template import Templar, trust_as_template
from ansible_collections.exalt.caching.plugins.filter.certificate_fingerprints import FilterModule as Fingerprints
from ansible_collections.exalt.caching.plugins.filter.certificate_parts import FilterModule as Parts
from ansible_collections.exalt.caching.plugins.filter.seconds import FilterModule as Seconds

from tests.fleet.paths import ROOT
from tests.harness.templates import trusted
from tests.unit.test_cert_fleet import mark, pem

FILTERS = {f"exalt.caching.{name}": call for one in (Fingerprints, Parts, Seconds) for name, call in one().filters().items()}
VARS = yaml.safe_load((ROOT / "roles/security/vars/main.yml").read_text())
Data = dict[str, t.Any]


@pytest.fixture(autouse=True)
def _filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a playbook nobody looks into collections for filters."""
    known = filter_loader.get
    monkeypatch.setattr(filter_loader, "get", lambda name, **more: AnsibleJinja2Filter(FILTERS[name]) if name in FILTERS else known(name, **more))


def tasks(rows: t.Iterable[Data]) -> t.Iterator[Data]:
    for row in rows:
        yield row
        yield from tasks(row.get("block", []))


def task(path: str, name: str) -> Data:
    return next(one for one in tasks(yaml.safe_load((ROOT / path).read_text())) if one["name"] == name)


def rendered(template: str, own: Data | None = None, **given: t.Any) -> t.Any:
    known = {**trusted(VARS), **trusted(own or {}), "ansible_check_mode": False, **given}
    return Templar(loader=DataLoader(), variables=known).template(trust_as_template(template))


def refused(found: Data, **given: t.Any) -> str:
    """The message of an assertion, or nothing where it holds."""
    that = found["ansible.builtin.assert"]["that"]
    for condition in [that] if isinstance(that, str) else that:
        if not rendered("{{ " + condition + " }}", found.get("vars"), **given):
            return " ".join(str(rendered(found["ansible.builtin.assert"]["fail_msg"], found.get("vars"), **given)).split())
    return ""


def member(name: str, role: str = "service", ready: bool = True, state: str = "active") -> Data:
    return {"name": name, "role": role, "ready": ready, "state": state}


def test_who_is_down_is_not_asked_to_read() -> None:
    members = [member("a"), member("b", ready=False, state="failed"), member("r", "redis", ready=False)]
    instances = [*({"name": one} for one in "abr"), {"url": "u"}]
    asked = rendered("{{ security_reading }}", caching_members=members, caching_service_options={"instances": instances})
    assert asked == [{"name": "a"}, {"name": "r"}, {"url": "u"}]
    found = yaml.safe_load((ROOT / "roles/security/tasks/activate_service.yml").read_text())[0]
    assert found["exalt.caching.cache_task"]["instances"] == "{{ security_reading }}"


@pytest.mark.parametrize(("nodes", "told"), [
    ([member("r1", "redis"), member("r2", "redis")], ""), ([member("r1", "redis"), member("r2", "redis", False, "failed")], "r2: down, while"),
    ([member("r1", "redis"), member("r2", "redis", False, "CrashLoopBackOff")], "r2: down, while"),
    ([member(one, "redis", False, "inactive") for one in ("r1", "r2")], ""), ([member("r1", "redis"), member("r2", "redis", False, "missing")], ""),
    ([member("a", "service", False, "failed")], ""), ([], ""),
])
def test_a_node_of_redis_that_is_down(nodes: list[Data], told: str) -> None:
    assert refused(task("roles/security/tasks/preflight.yml", "All of Redis runs, or nothing of it"), caching_members=nodes).startswith(told)
    if not told:
        assert not refused(task("roles/security/tasks/preflight.yml", "All of Redis runs, or nothing of it"), caching_members=nodes)


@pytest.mark.parametrize(("round_", "plan", "written", "left"), [
    ("leaves", {"refused": [], "renewed": ["a", "b"]}, ["a", "b"], []), ("leaves", {"refused": ["b"], "renewed": ["a", "b"]}, ["a"], ["b"]),
    ("narrow", {"refused": ["b"], "renewed": ["a", "b"]}, ["a", "b"], []), ("narrow", {"refused": ["b"], "renewed": ["a"]}, ["a"], ["b"]),
    ("widen", {"refused": [], "renewed": []}, [], []), ("read", {"refused": ["a"], "renewed": []}, [], []),
])
def test_what_goes_back(round_: str, plan: Data, written: list[str], left: list[str]) -> None:
    found = next(one for one in tasks(yaml.safe_load((ROOT / "roles/security/tasks/back.yml").read_text())) if one["name"].startswith("Keep it"))
    given = {"security_round": {"name": round_, "places": ["a", "b", "new", "same"]}, "security_plan": plan,
             "security_versions": {"a": 1, "b": 0, "new": None, "same": 3}, "security_now": {"versions": {"a": 2, "b": 1, "new": 1, "same": 3}}}
    facts = found["ansible.builtin.set_fact"]
    assert rendered(facts["security_written"], found["vars"], **given) == written
    assert rendered(facts["security_left"], found["vars"], **given) == left
    last = task("roles/security/tasks/back.yml", "It did not get there")["ansible.builtin.fail"]["msg"]
    told = rendered(last, security_reason="it failed", security_went_back="", security_left=left)
    assert told.startswith("it failed. Nothing had to go back") and ("No client would accept what b had before" in told) == bool(left)


@pytest.mark.parametrize(("given", "told"), [
    ({}, ""), ({"caching_certificate_timeout": ""}, "caching_certificate_timeout"), ({"caching_certificate_timeout": "2m"}, "caching_certificate_timeout"),
    ({"caching_certificate_warn_before": "soon"}, "caching_certificate_warn_before"), ({"caching_certificate_fail_before": "P7D"}, ""),
    ({"caching_certificate_fail_before": "P1M"}, "caching_certificate_fail_before"),
])
def test_times_are_read_before_anything_is_done(given: dict[str, str], told: str) -> None:
    block = yaml.safe_load((ROOT / "roles/security/tasks/certificates.yml").read_text())[0]["block"]
    assert block[0]["name"] == "Times are durations"
    known = {"caching_certificate_timeout": "PT2M", "caching_certificate_warn_before": "P14D", "caching_certificate_fail_before": "", **given}
    if not told:
        assert refused(block[0], **known) == ""
        return
    with pytest.raises(AnsibleError, match=f"{told}: "):
        refused(block[0], **known)


def row(endpoint: str, **more: t.Any) -> Data:
    return {"endpoint": endpoint, "expected": True, "chain_ok": True, "reachable": True, "problems": ["of it"], **more}


@pytest.mark.parametrize(("rows", "told"), [
    ([row("a:1"), row("b:1")], ""), ([row("a:1", expected=False)], "a:1: of it. What is kept"), ([row("b:1", chain_ok=False)], "b:1: of it"),
    ([row("a:1", reachable=False), row("b:1", expected=False)], "a:1: of it; b:1: of it"), ([row("a:1", expected=None)], ""),
    ([row("down:1", reachable=False)], ""),      # its member is not ready, which playbook status tells
    ([row("new:1", reachable=False)], ""),       # it has no certificate yet
])
def test_what_is_served_is_what_is_kept(rows: list[Data], told: str) -> None:
    places = [{"name": one, "part": "service", "verify": [], "endpoints": [f"{one}:1"]} for one in ("a", "b", "down", "new")]
    found = refused(task("roles/security/tasks/served.yml", "It is what is kept for it"), security_places=places,
                    caching_members=[member("a"), member("down", ready=False, state="STOPPED")],
                    security_now={"fingerprints": {"a:1": "f", "b:1": "f", "down:1": "f"}},
                    security_served={"results": [{"certificates": rows}, {"msg": "no such file"}]})
    assert found.startswith(told) if told else not found


@pytest.mark.parametrize(("root", "places", "told"), [
    ("A", [("a", "ownca", "A"), ("new", "ownca", "")], ""), ("A", [("a", "ownca", "AX"), ("new", "ownca", "")], ""),
    ("A", [("a", "ownca", "X"), ("b", "ownca", "XA"), ("new", "ownca", "")], "a: who has this certificate does not trust the authority fleet authority"),
    ("", [("a", "ownca", "X"), ("new", "ownca", "")], "a: who has"),      # in check mode the authority is still to be made
    ("A", [("new", "ownca", "")], ""), ("A", [("a", "selfsigned", "X"), ("new", "ownca", "")], ""), ("A", [("a", "ownca", "X")], ""),
    ("A", [("a", "ownca", "X"), ("new", "provided", "")], ""),
])
def test_nobody_shows_what_those_who_run_do_not_trust(root: str, places: list[tuple[str, str, str]], told: str) -> None:
    looks = [{"__security_place": {"name": name, "provider": provider}, **({"trusted": [{"fingerprint": mark(one)} for one in trust]} if trust else {})}
             for name, provider, trust in places]
    found = refused(task("roles/security/tasks/issue.yml", "Who is there trusts who signs for the new ones"), security_roots=pem(root) if root else "",
                    security_looks={"results": looks}, security_ca={"common_name": "fleet authority"},
                    security_plan={"serving": [name for name, _provider, trust in places if trust]},
                    security_missing=[one["__security_place"] for one in looks if "trusted" not in one])
    assert found.startswith(told) if told else not found


@pytest.mark.parametrize(("declared", "there"), [
    ({}, False), ("{}", False), ("", False), ({"balancer": {}}, True), ("balancer: {}", True), ("service: {names: [balancer.example.com]}", False),
])
def test_a_balancer_is_one_that_is_declared(declared: t.Any, there: bool) -> None:
    facts = task("roles/caching/tasks/systemd/certificates.yml", "Where certificates are kept")["ansible.builtin.set_fact"]
    found = rendered(facts["caching_verb_places"], caching_certificates=declared, caching_members=[], groups={"lb": ["h1"]}, hostvars={"h1": {}},
                     caching_service_group="s", caching_redis_group="r", caching_balancer_group="lb", caching_redis_tls=False, caching_become=True,
                     caching_service_url="", caching_service_name="caching-service", caching_service_tls_port=8443, inventory_hostname="fleet",
                     __caching_certificate_paths={"balancer": "/etc/haproxy/tls"})
    assert [one["part"] for one in found] == ["balancer"] * there


def test_no_key_of_a_secret_is_in_a_variable() -> None:
    found = task("roles/security/tasks/cert_manager.yml", "What its Secrets hold already")["kubernetes.core.k8s_info"]["hidden_fields"]
    assert {"data[tls.key]", "data[previous]", "data[requested]", "data[keystore.p12]"} <= set(found)
