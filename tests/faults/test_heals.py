# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One trial of healing, and the positive controls of its judge. `make faults` makes as many trials as are wanted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import heals
from tests.harness.scratch import Scratch


def elect(cluster: Scratch) -> None:
    replica = cluster.replica_of(cluster.primaries()[0])
    cluster.client(replica).execute_command("CLUSTER FAILOVER", "TAKEOVER")
    cluster.until(lambda: cluster.whole() and replica in cluster.primaries(), "nobody took over")


def lose(cluster: Scratch) -> None:
    cluster.cluster().delete("key:7")


@pytest.mark.parametrize(("plant", "told"), [(elect, "roles were"), (lose, "1 keys are missing")])
def test_a_planted_violation_is_found(plant: Callable[[Scratch], None], told: str) -> None:
    trial = heals.trial("valkey", "replica", 1000, 0.0, plant)
    assert any(told in text for text in trial.broken), trial.broken


@pytest.mark.hazard("H40")
def test_a_shard_that_moved_as_a_whole_is_healed() -> None:
    """The others learn first where both are, and tell the replica, which goes on looking for its primary where it was."""
    trial = heals.trial("redis", "shard", 1000, 1.0)
    assert not trial.broken and not trial.elected and trial.seconds < 60
