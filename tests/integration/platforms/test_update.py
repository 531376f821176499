# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates of the service that go wrong in every way that there is, under clients that never stop.

Long trials (make campaigns PLATFORMS=..., UPDATES=rounds). They follow each other on the fleet that the table of operations has left.
"""

from __future__ import annotations

import os

import pytest

from tests.faults import updates
from tests.harness.matrix import Platform

ROUNDS = range(1, int(os.environ.get("UPDATES") or "1") + 1)


@pytest.fixture(scope="module", autouse=True)
def made(platform: Platform) -> None:
    if platform.versions() != {platform.older}:
        done = platform.play("site")
        assert done.rc == 0, done.stdout
    updates.prepare(platform)


@pytest.mark.hazard("H27", "H28")
@pytest.mark.parametrize("seed", ROUNDS)
@pytest.mark.parametrize("kind", updates.KINDS)
def test_an_update_ends_as_it_has_to(platform: Platform, kind: str, seed: int) -> None:
    trial = updates.trial(platform, kind, seed)
    print(updates.table([trial]))
    assert not trial.broken and trial.answered > 50, trial


def test_an_image_that_is_not_there_touches_nothing(platform: Platform) -> None:
    if platform.name == "systemd":
        pytest.skip("hosts have no images")
    before = platform.members()
    done = platform.play("update", **platform.store(), **updates.QUICK, caching_version="9.9.9")
    assert done.rc != 0 and "nothing was touched" in " ".join(done.stdout.split()) and platform.members() == before, done.stdout
