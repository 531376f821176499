# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates of the service that fail in every way that there is, under clients that never stop: taken back, and nothing failed that need not.

Long trials (make faults PLATFORMS=...). The tests follow each other on the fleet that the table of operations has left.
"""

from __future__ import annotations

import typing as t

import pytest

from tests.harness.continuous import Clients, Told
from tests.harness.matrix import Platform
from tests.harness.plays import Outcome

QUICK = {"caching_soak": "PT0S", "caching_update_backup_age": "", "caching_platform_timeout": "PT60S"}
# fault of the new version -> what the last line says of it, and whether anything was touched
FAULTS = {
    "never-ready": ("instance", True), "crash-loop": ("newer than this version", True), "bad-smoke": ("the entry that was written", True),
    "wrong-answers": ("wrote 'smoke', read 'wrong'", True), "incompatible": ("this version needs Redis 8", False),
}


def update(platform: Platform, check: bool = False, **variables: t.Any) -> tuple[Outcome, str]:
    done = platform.play("update", check=check, **{**platform.store(), **QUICK, **variables})
    return done, " ".join(done.stdout.split())


def under_clients(platform: Platform, **variables: t.Any) -> tuple[Outcome, str, Told]:
    with Clients(platform.addresses, platform.token("api_token"), "deployed") as clients:
        done, said = update(platform, **variables)
    return done, said, clients.told()


@pytest.fixture(scope="module", autouse=True)
def made(platform: Platform) -> None:
    if platform.versions() != {platform.older}:
        done = platform.play("site")
        assert done.rc == 0, done.stdout


def test_a_good_update_costs_no_request(platform: Platform) -> None:
    done, _said, told = under_clients(platform, caching_version=platform.newer)
    assert done.rc == 0 and platform.versions() == {platform.newer}, done.stdout
    assert told.failed == [] and told.lost == [] and told.answered > 100, told
    back = platform.play("rollback", **platform.store(), **QUICK)
    assert back.rc == 0 and platform.versions() == {platform.older}, back.stdout


@pytest.mark.hazard("H28")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_update_is_taken_back(platform: Platform, fault: str) -> None:
    why, touched = FAULTS[fault]
    before = platform.members()
    done, said, told = under_clients(platform, **platform.faulty(fault))
    assert done.rc != 0 and why in said, done.stdout
    assert ("the update failed and was taken back" in said) == touched and ("nothing was touched" in said) != touched, done.stdout
    assert platform.versions() == {platform.older} and platform.instances() == 3
    assert touched or platform.members() == before
    assert told.lost == [] and (fault in ("wrong-answers",) or told.failed == []), told
    assert platform.play("status").rc == 0


def test_an_image_that_is_not_there_touches_nothing(platform: Platform) -> None:
    if platform.name == "systemd":
        pytest.skip("hosts have no images")
    before = platform.members()
    done, said = update(platform, caching_version="9.9.9")
    assert done.rc != 0 and "nothing was touched" in said and platform.members() == before, done.stdout
