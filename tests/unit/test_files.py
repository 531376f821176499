# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a deployment: which differ, whose they are, and that no secret is shown."""

from __future__ import annotations

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _files as files

OURS = f"# {files.MARK}\n"


@pytest.mark.parametrize(("present", "text", "changed", "foreign"), [
    (None, OURS, True, False),                          # not there yet
    (OURS, OURS, False, False),
    ("a: 1\n", "a: 1\n", False, False),                 # somebody else's, and as declared
    ("a: 1\n", f"{OURS}a: 1\n", True, True),
    (f"{OURS}a: 1\n", f"{OURS}a: 2\n", True, False),
    (f"x\ny\nz\n{OURS}", OURS, True, True),             # a mark further down is no first line
    (f"{OURS}a", f"{OURS}a\n", True, False),
])
def test_what_differs_and_whose_it_is(present: str | None, text: str, changed: bool, foreign: bool) -> None:
    plan = files.plan([files.Wanted("f", text, False)], [present])
    assert (plan["changed"] == ["f"], plan["foreign"] == ["f"], plan["places"] == [0]) == (changed, foreign, changed)
    assert bool(plan["differences"]) is changed


@pytest.mark.parametrize(("line", "secret", "shown"), [
    ("API_TOKEN=abc", True, "API_TOKEN=(secret)"),
    ("PLAIN=abc", True, "PLAIN=(secret)"),
    ("abc", True, "(secret)"),
    ('requirepass "abc"', False, "requirepass (secret)"),
    ('masterauth "abc"', False, "masterauth (secret)"),
    ("      REDIS_PASSWORD: abc", False, "REDIS_PASSWORD: (secret)"),
    ("appendonly yes", False, "appendonly yes"),
])
def test_no_secret_is_shown(line: str, secret: bool, shown: str) -> None:
    assert files.shown(line, secret) == shown


def test_a_long_difference_is_cut() -> None:
    lines = files.plan([files.Wanted("f", "".join(f"{number}\n" for number in range(100)), False)], [""])["differences"]
    assert len(lines) == files.LINES + 1 and lines[-1] == "… and 60 more"
