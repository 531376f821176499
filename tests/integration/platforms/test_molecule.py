# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Molecule scenario of each platform, on the fleet that the session has started."""

from __future__ import annotations

import pytest

from tests.harness.matrix import HOMES
from tests.harness.operations import asked_for
from tests.integration.molecule.test_scenarios import passes


@pytest.mark.slow
@pytest.mark.parametrize("scenario", list(HOMES))
def test_scenario(scenario: str, request: pytest.FixtureRequest) -> None:
    if not asked_for(scenario):
        pytest.skip(f"needs PLATFORMS={scenario}")
    request.getfixturevalue("cluster" if scenario == "kubernetes" else f"{scenario}_fleet")
    passes(scenario)
