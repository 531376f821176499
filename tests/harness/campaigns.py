# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pytest plugin: long trials, marked as campaigns, are left out of a run of everything; `make campaigns` runs them.

Who names a file, a word or a mark wants what he names. What is marked as long, on the local fleet, is a campaign only where all
platforms are asked for: their table takes the time that there is, and shows most of the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.operations import asked_for


def named(config: pytest.Config) -> bool:
    """Whether somebody has chosen tests, not only a folder."""
    option = config.option
    return bool(option.markexpr or option.keyword or any("::" in word or word.endswith(".py") for word in config.args))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """After everybody else has marked and counted."""
    from tests.harness.matrix import HOMES      # a plugin, too: pytest wants to be the first that loads it

    for item in items if all(map(asked_for, HOMES)) else []:
        if item.get_closest_marker("long"):
            item.add_marker("campaign")
    yield
    left = [] if named(config) else [item for item in items if item.get_closest_marker("campaign")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("campaign")]
