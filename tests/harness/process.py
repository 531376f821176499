# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start and stop the small programs that tests need, on free ports of the loopback."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import typing as t
from collections.abc import Mapping, Sequence

from tests.fleet import paths

_LIBC = ctypes.CDLL(None)
PRIVATE = ("API_TOKEN", "ADMIN_TOKEN", "MONITOR_TOKEN", "REDIS_USERNAME", "REDIS_PASSWORD")
PRIVATE_PREFIXES = ("ANSIBLE_", "AWS_", "CACHING_")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without what would reach modules by accident, plus what the test gives."""
    kept = {name: value for name, value in os.environ.items()
            if name not in PRIVATE and not name.startswith(PRIVATE_PREFIXES)}
    home = paths.cache() / "ansible"
    return {**kept, "ANSIBLE_HOME": str(home), "ANSIBLE_REMOTE_TEMP": str(home / "tmp"),
            "PYTHONPATH": str(paths.ROOT), **(extra or {})}


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _end_with_parent() -> None:
    """A test run that is killed leaves no program behind (prctl PR_SET_PDEATHSIG)."""
    _LIBC.prctl(1, signal.SIGKILL)


def start(module: str, arguments: Sequence[str], extra: Mapping[str, str] | None = None,
          **options: t.Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", module, *arguments], env=environment(extra), cwd=paths.ROOT,
                            stdin=subprocess.DEVNULL, text=True, preexec_fn=_end_with_parent, **options)


def stop(process: subprocess.Popen[str], patience: float = 10.0) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
        process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def wait_for_port(process: subprocess.Popen[str], host: str, port: int, patience: float = 15.0) -> None:
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            return
        if process.poll() is not None:
            raise RuntimeError(f"the program for {host}:{port} ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing listens on {host}:{port} after {patience:.0f} s")
        time.sleep(0.03)
