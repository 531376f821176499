# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads the plugins: several workers, which operations the tests really proved, and the table of platforms."""

from __future__ import annotations

pytest_plugins = ["tests.harness.workers", "tests.harness.budget", "tests.harness.coverage", "tests.harness.campaigns", "tests.harness.matrix"]
