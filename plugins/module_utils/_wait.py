# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Deadlines, and waiting that always ends with what was last seen."""

from __future__ import annotations

import time
import typing as t

from ._errors import CachingError


class Deadline:
    """A point in time that every wait of an operation shares."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return max(0.0, self._end - time.monotonic())

    @property
    def over(self) -> bool:
        return self.left <= 0

    def pause(self, seconds: float) -> None:
        time.sleep(min(seconds, self.left))


def wait_for(look: t.Callable[[], tuple[bool, str]], timeout: float, what: str, pause: float = 0.2, longest: float = 2.0) -> None:
    """Call ``look`` until it says that ``what`` is reached; else an error tells what was last seen.

    The pauses grow to ``longest`` seconds. ``look`` runs once more at the deadline, so a short timeout still looks twice.
    """
    deadline = Deadline(timeout)
    while True:
        last_look = deadline.over
        reached, seen = look()
        if reached:
            return
        if last_look:
            raise CachingError(f"{what} was not reached within {timeout:g} s; last seen: {seen}")
        deadline.pause(pause)
        pause = min(longest, pause * 1.5)
