# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks: everything runs as a user runs it, with no library loaded beforehand (tests.harness.warm)."""

import os

os.environ["EXALT_CACHING_MODULES"] = "plain"
