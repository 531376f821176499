# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pytest plugin: with BUDGET=minutes a run begins no further test after that time, and tells in the end what it has left out.

So a run on a slow machine ends in time by itself. What is left out is neither passed nor a gap of what is declared as done.
"""

from __future__ import annotations

import os
import time
import typing as t
from collections import Counter

import pytest

END = "EXALT_CACHING_TESTS_END"      # seconds since 1970; workers inherit it
REASON = "not begun in the time that BUDGET gives"


def pytest_configure() -> None:
    minutes = os.environ.get("BUDGET", "").strip()
    if minutes and "PYTEST_XDIST_WORKER" not in os.environ:
        try:
            os.environ[END] = str(time.time() + 60 * float(minutes))
        except ValueError as error:
            raise pytest.UsageError(f"BUDGET: '{minutes}' is no number of minutes") from error


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    if time.time() > float(os.environ.get(END, "inf")):
        pytest.skip(REASON)


def left_out(report: t.Any) -> bool:
    """Whether this is the report of a test that was not begun for want of time."""
    return bool(report.skipped and isinstance(report.longrepr, tuple) and report.longrepr[2] == f"Skipped: {REASON}")


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    files = Counter(report.nodeid.partition("::")[0] for report in terminalreporter.stats.get("skipped", []) if left_out(report))
    if files:
        terminalreporter.write_line(f"LEFT OUT: {files.total()} tests were {REASON}:", yellow=True)
        for name, count in files.items():
            terminalreporter.write_line(f"  {count:4} of {name}")
