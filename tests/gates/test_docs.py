# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lint of the documentation and of the changelog."""

from __future__ import annotations

from tests.gates.conftest import Tools


def test_documentation_has_no_findings(tools: Tools) -> None:
    tools.run("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self", ".")


def test_changelog_has_no_findings(tools: Tools) -> None:
    tools.run("antsibull-changelog", "lint")
