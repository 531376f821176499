# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of its task and, where the controller sees the file ``progress_path``, prints its lines as they come.

It is for every module that takes ``progress_path`` (``action_plugin`` in meta/runtime.yml) and decides nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
import typing as t

from ansible.utils.display import Display

from ansible_collections.exalt.caching.plugins.plugin_utils._here import HereAction

_PAUSE = 0.5
_APART = 1.0    # seconds between two lines
_TAIL = 1 << 16


def told(row: t.Mapping[str, t.Any]) -> str:
    """A line of progress as people read it; empty for what is none."""
    done, total, rate, eta = (row.get(name) for name in ("done", "total", "rate", "eta"))
    if not isinstance(done, (int, float)) or not done and not total:
        return ""   # it has not begun to count
    text = f"{row.get('what') or 'progress'}: {done:,.0f}"
    if isinstance(total, (int, float)):
        text += f" of {total:,.0f}"
    if isinstance(rate, (int, float)):
        text += f", {rate:,.0f}/s"
    if isinstance(eta, (int, float)):
        text += f", {eta:,.0f} s left"
    return "".join(character for character in text if character.isprintable())


class Follower:
    """Follows a file of JSON lines from another thread until it is closed."""

    def __init__(self, path: str, show: t.Callable[[str], None]) -> None:
        self._path = path
        self._show = show
        self._since = time.time() - 1
        self._last = ""
        self._shown = 0.0
        self._waiting = ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._done.set()
        self._thread.join(5)

    def _follow(self) -> None:
        last = False
        while not last:
            last = self._done.wait(_PAUSE)
            try:
                self._look()
            except (OSError, ValueError):
                continue    # not there yet, or half written
            if self._waiting and (last or time.monotonic() - self._shown >= _APART):
                self._show(self._waiting)
                self._waiting, self._shown = "", time.monotonic()

    def _look(self) -> None:
        """The last whole line, if it is of this run: a run begins the file anew."""
        with open(self._path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read(_TAIL).decode("utf-8", errors="replace").rpartition("\n")[0].splitlines()
        row = json.loads(lines[-1]) if lines else None
        if isinstance(row, dict) and row.get("time", 0) >= self._since and (text := told(row)) != self._last:
            self._waiting = self._last = text


class ActionModule(HereAction):
    """The module as it is, with somebody who looks at its progress."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        del tmp
        arguments = dict(self._task.args)
        path, own = arguments.get("progress_path"), ""
        here = self._connection.transport == "local" and not self._task.async_val
        if here and not path and not self._connection.become:
            handle, own = tempfile.mkstemp(prefix="exalt-caching-progress-")
            os.close(handle)
            path = arguments["progress_path"] = own
        try:
            if here and path:
                with Follower(os.path.expanduser(str(path)), Display().display):
                    found = self.module(arguments, task_vars)
            else:
                found = self.module(arguments, task_vars)
        finally:
            if own:
                os.unlink(own)
        result.update(found)
        return result
