# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Progress of a long module, as JSON lines in a file: done, total, rate (a second) and eta (seconds); None where unknown."""

from __future__ import annotations

import json
import os
import time
import typing as t

_MOST = 40


class Progress:
    """What was seen on the way, some of it kept for the result, all of it written to ``path``.

    A file that can't be written is told once by ``warn`` and stops nothing.
    """

    def __init__(self, path: str | None, what: str, warn: t.Callable[[str], None]) -> None:
        self.steps: list[dict[str, t.Any]] = []
        self._what = what
        self._start = time.monotonic()
        self._first: int | None = None
        self._last: tuple[int, int | None, str] | None = None
        self._file: t.TextIO | None = None
        self._warn = warn
        if path:
            try:
                os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
                self._file = open(path, "w", encoding="utf-8")
            except OSError as error:
                warn(f"progress_path: {path} can't be written ({error.strerror})")

    def step(self, done: int, total: int | None, status: str = "") -> None:
        """Tell how far it is; what was told already is not told again."""
        if (done, total, status) == self._last:
            return
        self._last = (done, total, status)
        seconds = time.monotonic() - self._start
        self._first = done if self._first is None else self._first
        rate = round((done - self._first) / seconds, 1) if seconds > 0 and done > self._first else None
        eta = round((total - done) / rate, 1) if rate and total is not None and total >= done else None
        told = {"done": done, "total": total, "rate": rate, "eta": eta, "status": status, "seconds": round(seconds, 2)}
        self.steps.append(told)
        if len(self.steps) > _MOST:
            self.steps = self.steps[:-1:2] + self.steps[-1:]
        if self._file:
            try:
                self._file.write(json.dumps({"what": self._what, "time": round(time.time(), 2), **told}) + "\n")
                self._file.flush()
            except OSError as error:
                self._warn(f"progress_path: it can't be written any more ({error.strerror})")
                self._file = None

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None
