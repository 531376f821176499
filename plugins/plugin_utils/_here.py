# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module of this collection in a fork of its task's process, where it would run on this machine by this interpreter anyway.

Otherwise Ansible packs the module, writes it with its arguments to a file, and starts a shell and an interpreter that compiles what was
packed. A fork has most of that loaded, and no argument gets to a file. Everything else is Ansible's: the arguments, how the result is read,
and every case that is not exactly this one (another connection or interpreter, become, async, an environment, an older ansible-core).
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import selectors
import signal
import sys
import typing as t

from ansible import constants
from ansible.plugins.action import ActionBase

try:
    from ansible._internal._task import UnifiedTaskResult as _Result
    from ansible.module_utils import _internal
    from ansible.module_utils._internal._ansiballz import _loader
    from ansible.module_utils.common.json import Direction, get_module_encoder
except ImportError:     # ansible-core 2.20 and before: modules are packed
    _Result = None

_PROFILE = "legacy"


class HereAction(ActionBase):
    """An action that runs the module of its task, here where that is the same."""

    _supports_async = True
    _supports_check_mode = True

    def module(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        # of ansible-core 2.18 the task's resolved_action is the action's name
        name = self._shared_loader_obj.module_loader.find_plugin_with_context(self._task.action, collection_list=self._task.collections).resolved_fqcn
        if not self._is_here(task_vars or {}):
            return self._execute_module(module_name=name, module_args=arguments, task_vars=task_vars, wrap_async=bool(self._task.async_val))
        given = dict(arguments)
        self._update_module_args(name, given, task_vars)
        encoded = json.dumps({"ANSIBLE_MODULE_ARGS": given}, cls=get_module_encoder(_PROFILE, Direction.CONTROLLER_TO_MODULE))
        prefix, _dot, last = name.rpartition(".")
        code, out, err = _forked(f"ansible_collections.{prefix}.plugins.modules.{last}", encoded.encode())
        found = self._parse_returned_data({"rc": code, "stdout": out, "stderr": err, "stdout_lines": [], "stderr_lines": []}, _PROFILE)
        found.remove_internal_keys()
        return t.cast("dict[str, t.Any]", found.as_result_dict(for_round_trip=True))

    def _is_here(self, task_vars: t.Mapping[str, t.Any]) -> bool:
        connection, task = self._connection, self._task
        facts = task_vars.get("ansible_delegated_vars", {}).get(task.delegate_to, {}) if task.delegate_to else task_vars
        return (
            _Result is not None and connection.transport == "local" and not connection.become and not task.async_val
            and not any(task.environment or []) and not constants.DEFAULT_KEEP_REMOTE_FILES
            and self._templar.template(facts.get("ansible_python_interpreter")) == sys.executable
        )


def _forked(module: str, arguments: bytes) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a module; it ends with whoever waits for it here."""
    (out, into_out), (err, into_err) = os.pipe(), os.pipe()
    process = multiprocessing.get_context("fork").Process(target=_be, args=(module, arguments, into_out, into_err))
    process.start()
    os.close(into_out)
    os.close(into_err)
    said = {out: bytearray(), err: bytearray()}
    try:
        _read(said)
        process.join()
    except BaseException:   # the time-out of the task, or a signal
        process.kill()
        process.join()
        raise
    finally:
        os.close(out)
        os.close(err)
    return process.exitcode or 0, *(bytes(text).decode(errors="surrogateescape") for text in said.values())


def _read(said: dict[int, bytearray]) -> None:
    with selectors.DefaultSelector() as selector:
        for descriptor in said:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            for key, _events in selector.select():
                if data := os.read(key.fd, 1 << 16):
                    said[key.fd] += data
                else:
                    selector.unregister(key.fd)


def _be(module: str, arguments: bytes, out: int, err: int) -> None:
    """The module, from here on: as if its interpreter had just started."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for descriptor, number in ((out, 1), (err, 2)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin, sys.stdout, sys.stderr = open(0, encoding="utf-8"), open(1, "w", encoding="utf-8"), open(2, "w", encoding="utf-8")
    gc.freeze()
    sys.argv = [module]
    _internal.is_controller = False     # what it warns of is part of its result
    _loader.run_module(json_params=arguments, profile=_PROFILE, module_fqn=module, modlib_path="", extensions={})
