# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A parent process that has Ansible and the third-party libraries loaded, and forks for each run of a module.

It never imports anything of the collection: each child does that itself, so edits count and nothing is shared. For each
call a minder is forked, and by it the module's process; the minder tells its id and, at the end, its exit code.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import typing as t
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait

from tests.fleet import paths
from tests.harness import process

PRELOADED = ("ansible.module_utils.basic", "urllib3", "redis.cluster", "boto3", "pyrage", "concurrent.futures.thread", "email.utils", "tempfile")
AT_START = ("PYTHON", "LANG", "LC_", "TZ", "LD_", "OPENSSL_", "SSL_")      # read when an interpreter starts or a library loads
LOCK = threading.Lock()


class Parent:
    """The parent process of this test session, started at first use; it ends when its socket is closed."""

    running: t.ClassVar[Parent | None] = None

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.harness.warm", str(theirs.fileno())], env=environment, cwd=paths.ROOT,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        self.start = at_start(environment)

    @classmethod
    def fitting(cls, environment: Mapping[str, str]) -> Parent | None:
        """The parent, or None where a run needs an interpreter that starts with this environment."""
        with LOCK:
            if not cls.running or cls.running.process.poll() is not None:
                cls.running = Parent(process.environment())
            return cls.running if cls.running.start == at_start(environment) else None

    def run(self, module: str, given: bytes, environment: Mapping[str, str], timeout: float) -> tuple[int | None, bytes, bytes]:
        """Exit code (None: it was killed after the timeout), standard output and standard error of one run."""
        (stdin, feed), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
        ours, theirs = socket.socketpair()
        with theirs, open(stdin, "rb", 0), open(stdout, "wb", 0), open(stderr, "wb", 0):
            socket.send_fds(self.socket, [b"+"], [theirs.fileno(), stdin, stdout, stderr])
        with (ours, ours.makefile("rw") as control, open(feed, "wb") as into, open(out, "rb", 0) as said,
              open(err, "rb", 0) as told, ThreadPoolExecutor(3) as threads):
            control.write(json.dumps({"module": module, "environment": dict(environment), "cwd": os.getcwd()}) + "\n")
            control.flush()
            pid = int(control.readline())
            heard = threads.submit(said.read), threads.submit(told.read)
            threads.submit(feed_all, into, given)
            late = wait(heard, timeout).not_done
            if late:
                os.kill(pid, signal.SIGKILL)
            code = int(control.readline())
            return None if late else code, heard[0].result(), heard[1].result()


def at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(AT_START)}


def feed_all(into: t.BinaryIO, given: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), into:
        into.write(given)


def serve(server: socket.socket) -> list[int]:
    """Fork for each call. Returns in the module's process only, with its descriptors; the parent ends with its socket."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)           # minders need no funeral
    while True:
        descriptors = socket.recv_fds(server, 1, 4)[1]
        if not descriptors:
            os._exit(0)
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            server.close()
            pid = os.fork()
            if not pid:
                return descriptors
            for descriptor in descriptors[1:]:
                os.close(descriptor)        # the end of the outputs is the end of the module's process
            os.write(descriptors[0], b"%d\n" % pid)
            os.write(descriptors[0], b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


def main() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    control, *standard = serve(socket.socket(fileno=int(sys.argv.pop())))
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
        os.close(descriptor)
    with open(control, encoding="utf-8") as file:
        call = json.loads(file.readline())
    os.environ.clear()
    os.environ.update(call["environment"])
    os.chdir(call["cwd"])
    importlib.invalidate_caches()
    runpy.run_module(call["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
