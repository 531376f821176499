# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules of a playbook run in processes that are forked from one that has Ansible's and the third-party libraries loaded.

Half of the time of a playbook goes into interpreters that load the same libraries again and again. Whatever is of a collection is still taken
from what Ansible has packed for the module. An interpreter that a playbook starts on this machine hands its script over (`start/sitecustomize.py`)
and waits; where it is killed, so is the module. Hosts and pods have interpreters of their own. `EXALT_CACHING_MODULES=plain` leaves all of it out.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import types
import typing as t
from collections.abc import Mapping
from pathlib import Path

from tests.fleet import paths
from tests.harness import process, warm
from tests.harness.until import until

PRELOADED = (*warm.PRELOADED, "kubernetes.client", "kubernetes.dynamic", "cryptography.x509", "requests", "yaml", "xmlrpc.client",
             "cryptography.hazmat.primitives.serialization.pkcs12", "ansible.module_utils.urls", "ansible.module_utils._internal._ansiballz._loader")
HERE = Path(__file__).parent


class Parent:
    """The parent process of this test session; it ends with the session."""

    running: t.ClassVar[Parent | None] = None

    def __init__(self) -> None:
        place = paths.cache() / "tmp"
        place.mkdir(parents=True, exist_ok=True)
        self.folder = tempfile.TemporaryDirectory(prefix="warm-", dir=place if len(str(place)) < 70 else "/tmp")      # a socket's path is short
        self.path = Path(self.folder.name) / "s"
        self.start = self.of(process.environment())
        self.process = process.start("tests.harness.warm_plays", [str(self.path)], stdout=subprocess.DEVNULL)
        until(lambda: self.path.exists() or self.process.poll() is not None, "the parent of modules", 60)

    @staticmethod
    def of(environment: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in warm.at_start(environment).items() if name != "PYTHONPATH"}

    @classmethod
    def settings(cls, environment: Mapping[str, str]) -> dict[str, str]:
        """This environment, for a playbook whose modules are to run so; as it is where an interpreter of its own is needed."""
        given = dict(environment)
        if os.environ.get("EXALT_CACHING_MODULES") == "plain" or given.get("PYTHONPATH") != str(paths.ROOT) or not hasattr(os, "pidfd_open"):
            return given
        with warm.LOCK:
            if not cls.running or cls.running.process.poll() is not None:
                cls.running = cls()
        if cls.of(given) != cls.running.start:
            return given
        return {**given, "EXALT_WARM": str(cls.running.path), "EXALT_PACKED": str(Path(cls.running.folder.name) / "packed"),
                "PYTHONPATH": f"{HERE / 'start'}:{paths.ROOT}"}


def serve(path: str) -> tuple[socket.socket, list[int]]:
    """Fork for each call. Returns in a minder only, with its connection and the module's descriptors."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)           # minders need no funeral
    server = socket.socket(socket.AF_UNIX)
    server.bind(path + ".new")
    server.listen(128)
    os.rename(path + ".new", path)
    while True:
        connection, _address = server.accept()
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            server.close()
            return connection, socket.recv_fds(connection, 1, 3)[1]
        connection.close()


def mind(connection: socket.socket, pid: int) -> t.NoReturn:
    """Until the module's process has ended, whose exit code is told; it ends with who has asked for it, and so does what it has started."""
    ended = os.pidfd_open(pid)
    ready, _write, _other = select.select([ended, connection], [], [])
    if ended not in ready:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(b"%d\n" % code)
    os._exit(0)


def main() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    connection, standard = serve(sys.argv.pop())
    with connection.makefile() as file:
        call = json.loads(file.readline())
    pid = os.fork()
    if pid:
        for descriptor in (0, 1, 2, *standard):
            os.close(descriptor)        # the end of the outputs is the end of the module's process
        mind(connection, pid)
    connection.close()
    os.setsid()
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(call["environment"])
    os.chdir(call["cwd"])
    os.umask(call["umask"])
    script = call["argv"][0]
    sys.argv, sys.path[0] = call["argv"], str(Path(script).parent)
    importlib.invalidate_caches()
    module = types.ModuleType("__main__")
    module.__file__ = script
    sys.modules["__main__"] = module
    exec(compile(Path(script).read_bytes(), script, "exec"), module.__dict__)


if __name__ == "__main__":
    main()
