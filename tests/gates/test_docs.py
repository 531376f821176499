# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lint of the documentation and of the changelog."""

from __future__ import annotations

from tests.gates.conftest import Tools


UNLUCKY = 'Unknown target name: "antsibull-docs-'     # its temporary folder had a name that ends with _, which is a link in RST


def test_documentation_has_no_findings(tools: Tools) -> None:
    command = ("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self", ".")
    done = tools.attempt(*command)
    if UNLUCKY in done.stdout:
        done = tools.attempt(*command)
    assert done.returncode == 0, done.stdout


def test_changelog_has_no_findings(tools: Tools) -> None:
    tools.run("antsibull-changelog", "lint")
