# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore from files that is killed, in small; `make faults` kills it at every step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import physical
from tests.harness.targets import Fleet, forget


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.hazard("H40", "H42")
def test_a_killed_restore_from_files_is_held(fleet: Fleet, tmp_path: Path) -> None:
    subject = physical.Physical(fleet, tmp_path / "store")
    try:
        made = physical.trial(subject, 1, (": placed)", 2))
        assert made.broken == [] and "not said" not in made.killed, made
        wanted = subject.facts()
        assert physical.judged(subject, {**wanted, "physical:planted": "x"}, "finished") == [
            f"1 of {len(wanted) + 1} keys are not as wanted, such as physical:planted"]
    finally:
        subject.clear()
        subject.appends(True)
        forget(fleet, physical.NAMESPACE)
