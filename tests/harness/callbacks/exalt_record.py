# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback for tests: writes each task's result as a line of JSON, beside the usual output."""

from __future__ import annotations

import contextlib
import json
import os

from ansible import constants
from ansible.module_utils.common.text.converters import to_text
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: exalt_record
type: notification
short_description: Results of tasks as lines of JSON, for tests
description: Writes to the file that the environment variable EXALT_RECORD names; packed modules are kept in the folder EXALT_PACKED.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "exalt_record"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs) -> None:
        """What Ansible packs for each module is kept for the playbooks after this one: it takes a sixth of their time."""
        super().__init__(*args, **kwargs)
        if packed := os.environ.get("EXALT_PACKED"):
            os.makedirs(packed, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.symlink(packed, os.path.join(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache"))

    def _line(self, **content) -> None:
        with open(os.environ["EXALT_RECORD"], "a", encoding="utf-8") as file:
            file.write(json.dumps(content, default=to_text) + "\n")

    def _task(self, state, result, **more) -> None:
        outcome = json.loads(self._dump_results(result.result, keep_invocation=False))
        outcome.update({key: value for key, value in result.result.items() if key == "diff"})  # which the dump leaves out
        self._line(kind="task", state=state, host=result.host.get_name(), task=result.task.get_name().strip(),
                   action=result.task.resolved_action or result.task.action, result=outcome, **more)

    def v2_runner_on_ok(self, result) -> None:
        self._task("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False) -> None:
        self._task("failed", result, ignored=ignore_errors)

    def v2_runner_on_unreachable(self, result) -> None:
        self._task("unreachable", result)

    def v2_runner_on_skipped(self, result) -> None:
        self._task("skipped", result)

    def v2_playbook_on_stats(self, stats) -> None:
        for host in sorted(stats.processed):
            self._line(kind="stats", host=host, stats=stats.summarize(host))
        self._line(kind="custom", custom=stats.custom)
