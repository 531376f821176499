# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations of a fleet with TLS everywhere, and runs of another authority that are killed, in small. `make faults` makes as many as are wanted."""

from __future__ import annotations

import pytest

from tests.faults import rotations


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.hazard("H54")
def test_no_handshake_fails_and_a_killed_run_goes_on() -> None:
    seen = rotations.trials(10, 2, 1)
    assert seen.failed == [] and seen.rotations >= 10 and seen.converged == 2, seen
    assert seen.killed > 0 and seen.handshakes["python"] > 100, "a trial that tried nothing"
