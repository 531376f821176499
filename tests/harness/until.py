# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for something that can be seen, never for a time; and find the processes that a process has started."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path


def until(seen: Callable[[], object], what: str, patience: float = 30.0) -> None:
    """Look until ``seen`` is true; ``what`` stands in the error when it doesn't come true."""
    deadline = time.monotonic() + patience
    while not seen():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not seen within {patience:.0f} s")
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """The processes below ``pid``, whatever sessions and groups they have made themselves."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found, look = [], [pid]
    while look:
        below = parents.get(look.pop(), [])
        found += below
        look += below
    return found


def kill_tree(pid: int) -> None:
    """SIGKILL to a process and all that it started; they are stopped first, so that none starts another meanwhile."""
    tree: list[int] = []
    while (now := [pid, *children(pid)]) != tree:
        tree = now
        for one in tree:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGSTOP)
    for one in tree:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
