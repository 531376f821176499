# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recording proxies before the nodes of a Redis Cluster: which commands were sent, and whether they were answered without an error.

A record has the method `REDIS` and the command as its path (`CLUSTER INFO`, `PING`); arguments are never kept.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import typing as t

from tests.harness import coverage

CONTAINERS = {"ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "LATENCY", "MEMORY", "SLOWLOG"}
READS = {"CLUSTER NODES", "CLUSTER INFO", "CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER MYID", "CONFIG GET", "INFO", "AUTH", "HELLO", "SELECT", "PING",
         "ROLE", "CLIENT LIST", "CLIENT SETINFO", "CLIENT SETNAME", "CLIENT MAINT_NOTIFICATIONS"}   # the last three are of a connection
AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}


class RedisProxies:
    """One listener for each node. `address_map` leads a client through them."""

    def __init__(self, nodes: t.Sequence[str]) -> None:
        self._records: list[dict[str, t.Any]] = []
        self._label = ""
        self._listeners: dict[str, socket.socket] = {}
        self.address_map: dict[str, str] = {}
        for node in nodes:
            listener = socket.create_server(("127.0.0.1", 0))
            self._listeners[node] = listener
            self.address_map[node] = f"127.0.0.1:{listener.getsockname()[1]}"
            threading.Thread(target=self._accept, args=(listener, node), daemon=True).start()
        coverage.register(self)

    def label(self, name: str) -> None:
        self._label = name

    def records(self, name: str = "") -> list[dict[str, t.Any]]:
        return [one for one in self._records if not name or one["label"] == name]

    def changing(self) -> set[str]:
        """Which commands were sent that are not known to read only."""
        sent = {record["path"] for record in self._records}
        assert sent & READS, "nobody came by"
        return sent - READS

    def stop(self, node: str) -> None:
        """From now on this node refuses connections."""
        self._listeners[node].shutdown(socket.SHUT_RDWR)
        self._listeners[node].close()

    def close(self) -> None:
        coverage.unregister(self)
        for listener in self._listeners.values():
            listener.close()

    def _accept(self, listener: socket.socket, node: str) -> None:
        while True:
            try:
                client, _address = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client, node), daemon=True).start()

    def _serve(self, client: socket.socket, node: str) -> None:
        host, _colon, port = node.rpartition(":")
        with client, contextlib.suppress(OSError, ValueError):      # whoever looks for a node that is gone is cut off, too
            with socket.create_connection((host, int(port))) as server, client.makefile("rb") as asked, server.makefile("rb") as answers:
                while self._one(client, server, asked, answers, node):
                    pass

    def _one(self, client: socket.socket, server: socket.socket, asked: t.BinaryIO, answers: t.BinaryIO, node: str) -> bool:
        """A command and its answer; whether there may be another one."""
        raw, words = self._message(asked)
        if not raw:
            return False
        server.sendall(raw)
        if words and words[0].upper() == b"PSYNC":
            self._keep(words, node, self._pour(answers, client))
            return False
        answer = b">"
        while answer[:1] == b">":   # pushed messages come between
            answer, _words = self._message(answers)
            client.sendall(answer)
        self._keep(words, node, not answer.startswith((b"-", b"!")))
        return True

    def _pour(self, answers: t.BinaryIO, client: socket.socket) -> bool:
        """A replication stream: bytes until its end, and whether it began as one."""
        line = b"\n"
        while line == b"\n":
            line = answers.readline()
            client.sendall(line)
        while data := answers.read1(1 << 16):   # type: ignore[attr-defined]
            client.sendall(data)
        return line.startswith(b"+FULLRESYNC")

    def _keep(self, words: list[bytes], node: str, done: bool) -> None:
        names = [word.decode("utf-8", "replace").upper() for word in words[:2]]
        command = " ".join(names) if names[0] in CONTAINERS else names[0]
        self._records.append({"method": "REDIS", "path": command, "status": 200 if done else 500, "label": self._label, "node": node})

    def _message(self, stream: t.BinaryIO) -> tuple[bytes, list[bytes]]:
        """One message of the protocol, raw, and the strings in it; nothing at the end of the stream."""
        line = stream.readline()
        if not line:
            return b"", []
        kind, head = line[:1], line[1:].strip()
        if kind in (b"$", b"=", b"!"):
            if int(head) < 0:
                return line, []
            body = stream.read(int(head) + 2)
            return line + body, [body[:-2]]
        raw, words = line, []
        for _part in range(max(0, int(head)) * AGGREGATES[kind] if kind in AGGREGATES else 0):
            more, inside = self._message(stream)
            raw += more
            words += inside
        return raw, words
