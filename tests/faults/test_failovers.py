# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One trial of each way in which a primary fails, and the positive control of its judge. `make faults` makes as many trials as are wanted."""

from __future__ import annotations

import pytest

from tests.faults import failovers
from tests.harness.acknowledged import Acknowledged
from tests.harness.scratch import Scratch


def lose(cluster: Scratch, writers: Acknowledged) -> None:
    cluster.cluster().delete(next(iter(writers.keys)))


@pytest.mark.hazard("H24")
@pytest.mark.parametrize(("kind", "flavour"), list(zip(failovers.KINDS, ("valkey", "redis", "valkey", "redis"))))
def test_a_primary_that_failed_is_replaced(kind: str, flavour: str) -> None:
    trial = failovers.trial(kind, flavour, 1)
    assert not trial.broken and trial.keys > 50 and trial.refused == (4 if kind == "quorum lost" else 1), trial
    assert 0 < trial.recovery < 90, trial    # a busy machine; `make faults` tells the time


def test_a_planted_loss_is_found() -> None:
    trial = failovers.trial("killed", "valkey", 2, lose)
    assert len(trial.lost) == 1 and any("was acknowledged, and nothing is there" in text for text in trial.broken), trial
