# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates on fleets that playbook deploy has made with TLS everywhere. The tests follow each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.systemd.layout import BALANCER
from tests.harness.matrix import HOMES, Platform, secured
from tests.harness.matrix_hosts import DeployedSystemd
from tests.harness.operations import asked_for
from tests.harness.plays import Outcome


@pytest.fixture(scope="module", params=list(HOMES))
def secure(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Platform]:
    if not asked_for(request.param):
        pytest.skip(f"needs PLATFORMS={request.param}")
    folder: Path = tmp_path_factory.mktemp("authority")
    with secured(request.param, request, folder) as fleet:
        yield fleet


def changes(outcome: Outcome, what: str = "certificates") -> dict[str, list[str]]:
    found: dict[str, list[str]] = outcome.custom["exalt_caching_run"][-1]["changes"].get(what, {})
    return found


def served(outcome: Outcome) -> dict[str, str]:
    """Fingerprints by protocol and endpoint, as the last look of a run saw them."""
    looks = [part for one in outcome.results("cert_info") for part in one.get("results", [])]
    return {f"{part['__security_part']['protocol']} {one['endpoint']}": one["fingerprint"] for part in looks for one in part["certificates"]}


def test_a_fleet_with_tls_is_made_from_nothing(secure: Platform) -> None:
    first = secure.play("deploy")
    assert first.rc == 0 and first.custom["exalt_caching_run"][0]["changes"]["certificates"]["issued"], first.stdout
    with secure.unchanged():
        again = secure.play("deploy status certificates")
    assert again.rc == 0 and again.changed == 0, again.stdout
    prints = served(again)
    assert {name.partition(" ")[0] for name in prints} == {"https", "redis", "redis_bus"} and len(prints) >= 15, prints


def test_redis_that_runs_stays_with_tls(secure: Platform) -> None:
    with secure.unchanged():
        for check in (True, False):
            refused = secure.play("deploy", check=check, caching_redis_tls=False)
            assert refused.rc != 0 and "caching_redis_tls is false" in refused.stdout and "runs with TLS" in refused.stdout, refused.stdout


@pytest.mark.operation("S142", "S143")
@pytest.mark.hazard("H49", "H52", "H53", "H55")
def test_names_a_way_back_and_another_authority(secure: Platform) -> None:
    names = {"caching_certificates": {"service": {"names": ["cache.example.com"]}}}
    with secure.unchanged():
        planned = secure.play("certificates", check=True, **names)
    before = served(planned)
    assert list(changes(planned)) == ["renewed"], planned.stdout
    renewed = secure.play("certificates", **names)
    assert renewed.rc == 0 and changes(renewed) == changes(planned), renewed.stdout
    after = served(renewed)
    assert all((after[name] != before[name]) == name.startswith("https") for name in before), (before, after)
    assert secure.play("certificates", **names).changed == 0
    back = secure.play("certificates", **names, caching_certificates_state="rolled_back")
    assert back.rc == 0 and served(back) == before, back.stdout
    other = secure.play("certificates", caching_ca={**secure.authority, "name": "next"})
    assert other.rc == 0 and list(changes(other)) == ["trust widened", "renewed", "trust narrowed"], other.stdout
    last = served(other)
    assert not set(last.values()) & set(before.values())
    again = secure.play("certificates status", caching_ca={**secure.authority, "name": "next"})
    assert again.rc == 0 and again.changed == 0 and served(again) == last, again.stdout


@pytest.mark.hazard("H49")
def test_a_balancer_has_its_own(secure: Platform) -> None:
    if not isinstance(secure, DeployedSystemd):
        pytest.skip("the trial fleet on hosts has a balancer")
    declared = {"caching_ca": {**secure.authority, "name": "next"}, "caching_certificates": {"balancer": {"names": ["cache.example.com"]}}}
    made = secure.play("deploy", **declared)
    assert made.rc == 0, made.stdout
    secure.balancer_with_tls()
    read = secure.play("certificates", **declared)
    assert read.rc == 0 and changes(read) == {"read": [f"{BALANCER.name}/balancer"]}, read.stdout
    again = secure.play("certificates", **declared)
    assert again.rc == 0 and again.changed == 0, again.stdout
    before = served(again)
    renewed = secure.play("certificates", **{**declared, "caching_certificates": {"balancer": {"names": ["cache.example.org"]}}})
    assert renewed.rc == 0 and renewed.changed, renewed.stdout
    front = f"https {BALANCER.address}:8443"
    after = served(renewed)
    assert {name for name in before if before[name] != after[name]} == {front}, (before, after)
