# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A restore into a server of its own (S120): started for it on this host, and gone after it, so nothing but exactly the backup may be in it.

One server owns all slots. It listens on the loopback address, with a password of its own, in a folder of its own. A lock on a file in
that folder lives as long as the process that made it, whatever ends that; so a next run knows a folder that is left, and a server is
only ended where it works in such a folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import re
import secrets
import shutil
import signal
import socket
import tempfile
import time
import typing as t

from .. import _manifest, _topology
from .._errors import CachingError, one_line
from .._redis import ERRORS, Redis
from .._store import Store
from .._wait import wait_for
from . import restore_checks
from .restore import Restore
from .restore_set import choose
from .scratch_load import Command

Results = dict[str, t.Any]
_PREFIX = "exalt-drill-"
_PROGRAMS = ("valkey-server", "redis-server")
_STARTS = 30.0
_ENDS = 10.0
_PROCESSES = "/proc"
_BUS = 10000   # the port of the cluster bus is so much higher


class Scratch:
    """The restore of a backup for which everything else is made and thrown away."""

    def __init__(self, params: t.Mapping[str, t.Any], store: Store, warn: t.Callable[[str], None], command: Command) -> None:
        others = {"mode file": params["mode"] == "file", "flush": params["flush"], "redis_nodes": params["redis_nodes"],
                  f"on_conflict {params['on_conflict']}": params["on_conflict"] != "fail"}
        wrong = [name for name, given in others.items() if given]
        if wrong:
            raise CachingError(f"scratch: it takes no {' and no '.join(wrong)}, as its server is made for it and empty")
        self.params, self.store, self.warn, self._command = params, store, warn, command
        self.plan: Results = {}
        self.diff: Results = {}

    def prepare(self) -> None:
        """The backup, the program, and an identity that fits; nothing was started then."""
        _manifest.cluster_name(self.params["cluster"])
        self.program, told = _program(self.params["scratch"].get("server"), self._command)
        backup = choose(self.store, self.params, self.params["id"])
        problems = [text for flavour, version in sorted(backup.versions) for text in restore_checks.refusal(flavour, version, {self.program: told})]
        if problems:
            raise CachingError(f"scratch: {'; '.join(problems)}")
        self.plan = {
            "backup": backup.id, "taken": backup.taken, "mode": "replay", "key_count": backup.key_count, "stored_bytes": backup.stored_bytes,
            "encrypted": backup.encrypted, "sources": [source.name for source in backup.sources], "into": [{"node": self.program}],
            "lost": 0, "resumes": False, "safety_backup": None,
        }
        self.diff = {"before": {}, "after": {"backup": backup.id}}

    def act(self) -> Results:
        """Start the server, restore, compare, and end it, whatever happened."""
        for folder in clean():
            self.warn(f"an earlier run that was killed had left a scratch server or its folder {folder}; they are gone now")
        with _running(self.program, self.params["scratch"].get("port") or 0, self._command) as (address, password):
            params = {**self.params, "redis_nodes": [address], "redis_password": password, "redis_username": None, "redis_tls": False,
                      "redis_address_map": {}, "safety_backup": False}
            job = Restore(params, Redis(params), self.store, self.warn, lambda: "")
            job.prepare()
            return {**job.act(), "plan": {**job.plan, "encrypted": self.plan["encrypted"], "stored_bytes": self.plan["stored_bytes"]}}


def _program(given: str | None, command: Command) -> tuple[str, dict[str, str]]:
    """The server program, and what it says of itself."""
    names = [given] if given else list(_PROGRAMS)
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        what = f"there is no program {one_line(given, 120)}" if given else f"there is no {' or '.join(_PROGRAMS)} on PATH"
        raise CachingError(f"scratch: {what} on the host where this module runs; install one, or name it as server (caching_redis_server_path)")
    _code, out, _err = command([found, "--version"])
    told = re.match(r"(Valkey|Redis) server v=(\S+)", out)
    if told is None:
        raise CachingError(f"scratch: {found} is no server of Redis or Valkey")
    return found, {"server_name": told[1].lower(), f"{told[1].lower()}_version": told[2]}


def clean() -> list[str]:
    """End what runs that are dead have left, of this user; their folders."""
    found = []
    for folder in sorted(glob.glob(os.path.join(tempfile.gettempdir(), f"{_PREFIX}*"))):
        if os.path.islink(folder) or not os.path.isdir(folder) or os.stat(folder).st_uid != os.geteuid():
            continue
        try:
            file = open(os.path.join(folder, "lock"), "rb")
        except OSError:
            continue   # it is being made, or taken away
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue   # its run lives
            _end(folder)
            found.append(folder)
    return found


@contextlib.contextmanager
def _running(program: str, port: int, command: Command) -> t.Iterator[tuple[str, str]]:
    """A server that works; its address and password."""
    password, port = secrets.token_hex(20), port or _free()
    folder = tempfile.mkdtemp(prefix=_PREFIX)
    place = os.path.join(folder, "lock")
    with open(f"{place}.new", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.rename(f"{place}.new", place)   # nobody sees it before it is held
        try:
            _write(folder, "nodes.conf", [
                f"{secrets.token_hex(20)} 127.0.0.1:{port}@{port + _BUS} myself,master - 0 0 1 connected 0-{_topology.SLOTS - 1}",
                "vars currentEpoch 1 lastVoteEpoch 0"])
            _write(folder, "server.conf", [
                f"port {port}", "bind 127.0.0.1", f'dir "{folder}"', f'pidfile "{folder}/pid"', f'logfile "{folder}/log"', "daemonize yes",
                "cluster-enabled yes", "cluster-config-file nodes.conf", 'save ""', "appendonly no", f"requirepass {password}"])
            code, out, err = command([program, os.path.join(folder, "server.conf")])
            if code:
                raise CachingError(f"scratch: {program} does not start: {one_line(err or out, 200)}")
            _wait(folder, port, password)
            yield f"127.0.0.1:{port}", password
        finally:
            _end(folder)


def _write(folder: str, name: str, lines: t.Sequence[str]) -> None:
    with open(os.path.join(folder, name), "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write("\n".join(lines) + "\n")


def _free() -> int:
    for _attempt in range(200):
        port = 12000 + secrets.randbelow(10000)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + _BUS))
            return port
    raise CachingError("scratch: no port from 12000 to 22000 is free on the loopback address")


def _wait(folder: str, port: int, password: str) -> None:
    import redis

    def works() -> tuple[bool, str]:
        try:
            with contextlib.closing(redis.Redis(host="127.0.0.1", port=port, password=password, socket_timeout=5)) as client:
                client.set_response_callback("CLUSTER INFO", lambda answer, **_options: answer)
                return b"cluster_state:ok" in client.execute_command("CLUSTER INFO"), "its cluster is not up yet"
        except ERRORS as error:
            return False, _last(folder) or one_line(error, 100)

    wait_for(works, _STARTS, "the scratch server", 0.1)


def _last(folder: str) -> str:
    """The last line of its log."""
    with contextlib.suppress(OSError), open(os.path.join(folder, "log"), encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
        return one_line(lines[-1], 160) if lines else ""
    return ""


def _end(folder: str) -> None:
    """End the server that works in this folder, and no other, and remove the folder."""
    with contextlib.suppress(OSError, ValueError):
        with open(os.path.join(folder, "pid"), encoding="ascii") as file:
            pid = int(file.read())
        end = time.monotonic() + _ENDS
        while _works_in(pid, folder) and time.monotonic() < end:
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def _works_in(pid: int, folder: str) -> bool:
    """Whether this process is the server of this folder: it works there, or, where no system tells that, it answers to its password."""
    if not os.path.isdir(_PROCESSES):
        return _answers(pid, folder)
    try:
        return os.path.samefile(f"{_PROCESSES}/{pid}/cwd", folder)
    except OSError:
        return False


def _answers(pid: int, folder: str) -> bool:
    import redis

    try:
        with open(os.path.join(folder, "server.conf"), encoding="utf-8") as file:
            told = dict(line.split(maxsplit=1) for line in file.read().splitlines())
        with contextlib.closing(redis.Redis(host="127.0.0.1", port=int(told["port"]), password=told["requirepass"], socket_timeout=5)) as client:
            client.set_response_callback("INFO", lambda answer, **_options: answer.decode("utf-8", "replace"))
            return _topology.number(_topology.info(client.execute_command("INFO", "server")), "process_id") == pid
    except (OSError, KeyError, ValueError):
        return False
    except ERRORS:
        return False
