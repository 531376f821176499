# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of its task (``action_plugin`` in meta/runtime.yml: every module but those that show their progress).

An action has the name of a module, as its options are documented there; this one has that of the first module of every run.
"""

from __future__ import annotations

import typing as t

from ansible_collections.exalt.caching.plugins.plugin_utils._here import HereAction


class ActionModule(HereAction):
    """The module as it is."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        del tmp
        result.update(self.module(dict(self._task.args), task_vars))
        return result
