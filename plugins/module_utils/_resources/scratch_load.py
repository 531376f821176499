# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Whether a server loads a backup: each shard in a scratch server of its own, without network, in a folder that is removed.

Only what verifies is loaded: a file that somebody else made could attack the server that reads it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import typing as t

from .. import _topology
from .._errors import CachingError, one_line
from .._manifest import Content
from .._pack import Damaged
from .._redis import ERRORS
from .._wait import wait_for
from .catalogue import Catalogue, Set

Command = t.Callable[..., tuple[int, str, str]]
_LOADS = 600.0


def load(catalogue: Catalogue, one: Set, server: str, command: Command) -> None:
    """Load every shard, one after another; an error where the server does not take it, or has other keys than the manifest says."""
    if not os.access(server, os.X_OK) or os.path.isdir(server):
        raise CachingError(f"redis_server_path: {server} is no program on the host where this module runs")
    for shard in one.manifest["shards"]:
        with tempfile.TemporaryDirectory(prefix="exalt-load-") as folder:
            with open(os.path.join(folder, "dump.rdb"), "wb") as file:
                for piece in catalogue.shard(one, shard):
                    file.write(piece)
            _one(folder, shard, server, command)


def _one(folder: str, shard: Content, server: str, command: Command) -> None:
    socket, log, pid = (os.path.join(folder, name) for name in ("s", "log", "pid"))
    settings = {"daemonize": "yes", "port": "0", "unixsocket": socket, "unixsocketperm": "700", "dir": folder, "dbfilename": "dump.rdb", "save": "",
                "appendonly": "no", "pidfile": pid, "logfile": log}
    code, out, err = command([server, *(word for name, value in settings.items() for word in (f"--{name}", value))])
    if code:
        raise CachingError(f"redis_server_path: {server} does not start: {one_line(err or out, 200)}")
    try:
        found = _loaded(socket, log, shard)
    finally:
        _end(pid)
    loaded, expired = (_topology.number(found, f"rdb_last_load_keys_{name}") for name in ("loaded", "expired"))
    if loaded is None or expired is None:
        raise CachingError(f"redis_server_path: {server} does not tell how many keys it has loaded; it must be 7.0 or newer")
    if loaded + expired != shard["key_count"]:
        raise Damaged(f"{shard['object']}: the server loaded {loaded} keys, {expired} had expired, and the manifest says {shard['key_count']}")


def _loaded(socket: str, log: str, shard: Content) -> dict[str, str]:
    import redis

    client = redis.Redis(unix_socket_path=socket, socket_timeout=10)
    client.set_response_callback("INFO", lambda answer, **_options: answer if isinstance(answer, str) else answer.decode("utf-8", "replace"))
    found: dict[str, str] = {}

    def look() -> tuple[bool, str]:
        try:
            found.update(_topology.info(client.execute_command("INFO", "persistence")))
        except ERRORS as error:
            lines = _tail(log)
            if any(word in lines for word in ("Fatal error", "aborting now", "Terminating server")):
                raise Damaged(f"{shard['object']}: the server does not load it: {one_line(lines, 200)}") from None
            return False, one_line(error, 100)
        return found.get("loading") == "0", "it is loading"

    with contextlib.closing(client):
        wait_for(look, _LOADS, f"the loading of {shard['object']}", 0.05)
    return found


def _tail(log: str) -> str:
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            return " ".join(line.split("# ")[-1].strip() for line in file.readlines()[-4:])
    except OSError:
        return ""


def _end(pidfile: str) -> None:
    """The server was started for this alone."""
    with contextlib.suppress(OSError, ValueError):
        with open(pidfile, encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGKILL)
