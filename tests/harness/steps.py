# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module whose every step is counted, so that it can be killed, or told that the disk is full, before any of them.

A step is a change on the disk below one folder, a request that writes over HTTP, and its answer. A parent has the libraries loaded and forks
for each run; the child counts. It is a recorder, too: each file that a run makes is a record with the method `FILE` and the file's name.

    python -m tests.harness.steps       requests and answers are lines of JSON
"""

from __future__ import annotations

import errno
import http.client
import importlib
import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import traceback
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.harness import coverage, modules, process

COUNTED = ("open", "mkdir", "rename", "replace", "symlink", "link", "unlink", "rmdir", "chmod", "fchmod", "fchown", "fsync")
PRELOADED = ("ansible.module_utils.basic", "cryptography.x509", "cryptography.hazmat.primitives.serialization.pkcs12", "concurrent.futures.thread",
             "email.utils")


class Ended(t.NamedTuple):
    """How a run ended. `result` is None where it was killed; `steps` are those that it came to."""

    result: dict[str, t.Any] | None
    steps: list[str]


class Steps:
    """The parent, as a context; `root` is the folder whose steps count."""

    def __init__(self, root: Path, *preloaded: str) -> None:
        self.root = root
        self._preloaded = preloaded
        self._records: list[dict[str, t.Any]] = []
        self._label = ""

    def __enter__(self) -> Steps:
        self._parent = subprocess.Popen([sys.executable, "-m", "tests.harness.steps", *self._preloaded], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=process.environment(None))
        coverage.register(self)
        return self

    def __exit__(self, *_error: object) -> None:
        coverage.unregister(self)
        assert self._parent.stdin and self._parent.stdout
        self._parent.stdin.close()
        self._parent.wait(20)
        self._parent.stdout.close()

    def label(self, name: str) -> None:
        self._label = name

    def records(self, name: str) -> list[dict[str, t.Any]]:
        return [record for record in self._records if record["label"] == name]

    def run(self, name: str, args: t.Mapping[str, t.Any], kill: int = 0, full: int = 0, limit: int = 0) -> Ended:
        """`kill`: before this step the process gets SIGKILL; `full`: this step and all later ones find no space; `limit`: bytes a file may have."""
        arguments = {**args, **modules.internal(name, check=False, diff=True, verbosity=0)}
        request = {"module": name, "args": arguments, "root": str(self.root), "kill": kill, "full": full, "limit": limit}
        assert self._parent.stdin and self._parent.stdout
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()
        answer = json.loads(self._parent.stdout.readline())
        for step in answer["steps"]:
            if step.startswith("open "):
                self._records.append({"method": "FILE", "path": step.rpartition("/")[2], "status": 200, "label": self._label})
        if answer["killed"]:
            return Ended(None, answer["steps"])
        result = modules.parse(answer["stdout"], answer["stderr"], answer["code"])
        assert not result.crashed, answer
        return Ended(result, answer["steps"])


# ---- the parent's side


def _watch(request: dict[str, t.Any], log: t.TextIO) -> None:
    """In the child: each counted step is written down, and perhaps not done."""
    root, number = request["root"], 0

    def due(told: str) -> bool:
        """Whether the disk is full at this step; where the run ends at it, this is the end."""
        nonlocal number
        number += 1
        if number == request["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
        if request["full"] and number >= request["full"] and told.split()[0] in ("open", "mkdir", "fsync", "symlink", "link"):
            return True
        log.write(f"{told}\n")
        log.flush()
        return False

    def counted(what: str) -> t.Callable[..., t.Any]:
        real = getattr(os, what)

        def step(*args: t.Any, **options: t.Any) -> t.Any:
            place = args[0] if what != "symlink" else args[1]
            changes = what != "open" or len(args) > 1 and args[1] & os.O_CREAT
            if changes and (isinstance(place, int) or str(place).startswith(root) or options.get("dir_fd") is not None):
                if due(f"{what} {place}"):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place if isinstance(place, str) else None)
            return real(*args, **options)

        return step

    for name in COUNTED:
        setattr(os, name, counted(name))
    send, answered = http.client.HTTPConnection.putrequest, http.client.HTTPConnection.getresponse

    def sending(connection: t.Any, method: str, url: str, *args: t.Any, **options: t.Any) -> None:
        connection.writes = method if method != "GET" else ""
        if connection.writes:
            due(f"send {method} {url}")
        send(connection, method, url, *args, **options)

    def answer(connection: t.Any, *args: t.Any, **options: t.Any) -> t.Any:
        found = answered(connection, *args, **options)
        if connection.writes:
            due(f"answered {connection.writes}")
        return found

    http.client.HTTPConnection.putrequest, http.client.HTTPConnection.getresponse = sending, answer  # type: ignore[method-assign]
    if request["limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["limit"], request["limit"]))


def _child(request: dict[str, t.Any], given: int, out: int, err: int, steps: int) -> None:
    """Never returns."""
    for place, handle in enumerate((given, out, err)):
        os.dup2(handle, place)
    del sys.argv[1:]    # or Ansible takes it for the arguments
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    code = 1
    try:
        _watch(request, os.fdopen(steps, "w"))
        runpy.run_module(f"{modules.PACKAGE}.{request['module']}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(request: dict[str, t.Any]) -> dict[str, t.Any]:
    given = os.memfd_create("in")
    os.write(given, json.dumps({"ANSIBLE_MODULE_ARGS": request["args"]}).encode())
    os.lseek(given, 0, os.SEEK_SET)
    pipes = [os.pipe() for _name in ("out", "err", "steps")]    # no files: those may be limited
    if not (child := os.fork()):
        _child(request, given, *(write for _read, write in pipes))
    os.close(given)
    for _read, write in pipes:
        os.close(write)
    with ThreadPoolExecutor(3) as threads:
        out, err, steps = threads.map(_text, [read for read, _write in pipes])
    _pid, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return {"killed": killed, "code": 0 if killed else os.waitstatus_to_exitcode(status), "stdout": out, "stderr": err, "steps": steps.splitlines()}


def _text(handle: int) -> str:
    with os.fdopen(handle, "rb") as file:
        return file.read().decode("utf-8", "replace")


def main() -> None:
    for name in (*PRELOADED, *sys.argv[1:]):
        importlib.import_module(name)
    for line in sys.stdin:
        answer = _run(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
