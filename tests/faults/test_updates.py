# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates of the local fleet: a run that is killed and goes on, and bad versions that are taken back. `make faults` makes as many as are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import updates
from tests.harness.continuous import Clients
from tests.harness.matrix_local import LocalFleet
from tests.harness.targets import Fleet


@pytest.fixture(scope="module")
def platform(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFleet]:
    made = LocalFleet(fleet, tmp_path_factory.mktemp("updates") / "store")
    updates.prepare(made)
    yield made
    if made.versions() != {made.older}:
        made.play("rollback", **made.store(), **updates.QUICK)


def lose(clients: Clients) -> None:
    """A write that was acknowledged, and nobody has it."""
    clients.remember("continuous:planted", 1)


@pytest.mark.long
@pytest.mark.hazard("H28")
@pytest.mark.parametrize("kind", ["killed", *(pytest.param(kind, marks=pytest.mark.campaign) for kind in ("crash-loop", "fails-later"))])
def test_an_update_ends_as_it_has_to(platform: LocalFleet, kind: str) -> None:
    trial = updates.trial(platform, kind, 1)
    assert not trial.broken and trial.answered > 50, trial


@pytest.mark.long
def test_a_version_that_does_not_fit_touches_nothing_and_a_lost_write_is_found(platform: LocalFleet) -> None:
    trial = updates.trial(platform, "incompatible", 1, lose)
    assert trial.ended == "refused" and trial.lost == 1 and len(trial.broken) == 1 and "1 was acknowledged, and None is there" in trial.broken[0], trial


def test_check_mode_tells_and_writes_nothing(platform: LocalFleet) -> None:
    before, config = platform.members(), Path(platform.fleet.facts["supervisor_config"]).read_bytes()
    told = platform.play("update", check=True, **platform.store(), **updates.QUICK, caching_version=platform.newer)
    assert told.rc == 0 and told.changed == 0 and f"image: {platform.older} → {platform.newer}" in told.stdout, told.stdout
    assert platform.members() == before and Path(platform.fleet.facts["supervisor_config"]).read_bytes() == config


def test_a_version_that_nobody_can_write_is_one_line(platform: LocalFleet) -> None:
    refused = platform.play("update", **platform.store(), **updates.QUICK, caching_version="2.5.0", caching_supervisor_version="jar-{version}")
    said = " ".join(refused.stdout.split())
    assert refused.rc == 2 and "jar-{version} (caching_supervisor_version) is not there exactly once in the section of caching-service-1" in said, said
