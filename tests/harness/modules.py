# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module of the collection as its own process, with the arguments on its standard input, as Ansible does.

The process is forked from one that has the libraries loaded (`tests.harness.warm`), which takes a fifth of the time. With
`EXALT_CACHING_MODULES=plain`, or `warm=False`, each run starts an interpreter of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import typing as t
from collections.abc import Mapping

from ansible.module_utils.common.parameters import PASS_VARS
from ansible.release import __version__ as ansible_version

from tests.fleet import paths
from tests.harness import process
from tests.harness.warm import Parent

PACKAGE = "ansible_collections.exalt.caching.plugins.modules"


class ModuleResult(dict[str, t.Any]):
    """What the module returned; how its process ended stands in attributes."""

    rc: int
    stdout: str
    stderr: str
    seconds: float
    crashed: bool   # it did not end by returning one JSON object


def internal(name: str, *, check: bool, diff: bool, verbosity: int) -> dict[str, t.Any]:
    """The arguments that Ansible adds to those of the user."""
    temp = paths.cache() / "ansible" / "tmp"
    temp.mkdir(parents=True, exist_ok=True)
    given = {
        "check_mode": check, "diff": diff, "verbosity": verbosity, "debug": False, "no_log": False,
        "module_name": f"exalt.caching.{name}", "version": ansible_version,
        "remote_tmp": str(temp), "tmpdir": None, "keep_remote_files": False, "socket": None,
        "syslog_facility": "LOG_USER", "shell_executable": "/bin/sh", "selinux_special_fs": [],
        "ignore_unknown_opts": False, "target_log_info": None, "tracebacks_for": [], "inject_invocation": False,
    }
    return {f"_ansible_{key}": value for key, value in given.items() if key in PASS_VARS}   # they differ by release


def run_module(name: str, args: Mapping[str, t.Any], check: bool = False, diff: bool = True, *,
               env: Mapping[str, str] | None = None, verbosity: int = 0, timeout: float = 120.0,
               warm: bool | None = None) -> ModuleResult:
    """Run the module; an error, a crash too, comes back as data and never raises."""
    arguments = {**args, **internal(name, check=check, diff=diff, verbosity=verbosity)}
    given = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    environment = process.environment(env)
    if warm is None:
        warm = os.environ.get("EXALT_CACHING_MODULES") != "plain"
    started = time.monotonic()
    parent = Parent.fitting(environment) if warm else None
    run = parent.run if parent else _plain
    code, out, err = run(f"{PACKAGE}.{name}", given, environment, timeout)
    stdout, stderr = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
    rc, stderr = (-9, f"no end after {timeout:.0f} s") if code is None else (code, stderr)
    result = parse(stdout, stderr, rc)
    result.rc, result.stdout, result.stderr = rc, stdout, stderr
    result.seconds = time.monotonic() - started
    return result


def _plain(module: str, given: bytes, environment: Mapping[str, str], timeout: float) -> tuple[int | None, bytes, bytes]:
    """An interpreter of its own; the exit code is None where it was killed after the timeout."""
    try:
        ended = subprocess.run([sys.executable, "-m", module], input=given, capture_output=True, timeout=timeout,
                               check=False, env=environment)
    except subprocess.TimeoutExpired as late:
        return None, late.stdout or b"", late.stderr or b""
    return ended.returncode, ended.stdout, ended.stderr


def parse(stdout: str, stderr: str, rc: int) -> ModuleResult:
    try:
        returned = json.loads(stdout)
    except ValueError:
        returned = None
    if isinstance(returned, dict):
        result = ModuleResult(returned)
        result.crashed = "exception" in returned and "msg" not in returned
        return result
    lines = (stderr or stdout).strip().splitlines()
    result = ModuleResult(failed=True, msg=lines[-1] if lines else f"the module ended with {rc} and said nothing")
    result.crashed = True
    return result
