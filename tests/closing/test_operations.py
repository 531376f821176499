# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last test of a full run: what is declared as done was proved in this run."""

from __future__ import annotations

import pytest

from tests.harness.coverage import Coverage


def test_everything_declared_as_done_was_observed(operation_coverage: Coverage) -> None:
    if not operation_coverage.full:
        pytest.skip("only a run of all tests can tell")
    gaps = operation_coverage.gaps()
    assert not gaps, f"declared as done in tests/operations.yml, but proved by no test of this run: {', '.join(gaps)}"
