# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that is killed when it is about to send a change to a Redis Cluster: none of that change arrives. Or right after it was answered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import typing as t

from tests.harness import modules, process
from tests.harness.redis_proxy import RedisProxies

# What a change begins with, by the action that the modules call it by.
CHANGES = {
    "set_epoch": b"CLUSTER SET-CONFIG-EPOCH", "add_slots": b"CLUSTER ADDSLOTSRANGE", "meet": b"CLUSTER MEET", "replicate": b"CLUSTER REPLICATE",
    "hold": b"CONFIG SET CLUSTER-REPLICA-NO-FAILOVER YES", "release": b"CONFIG SET CLUSTER-REPLICA-NO-FAILOVER NO", "failover": b"CLUSTER FAILOVER",
}


class Cut(RedisProxies):
    """Before the `limit`-th of the changes that are counted (or `after` it was answered) the module ends by SIGKILL."""

    limit, sent, victim, after = 0, 0, 0, False
    counted: t.Collection[str] = tuple(CHANGES)

    def _message(self, stream: t.BinaryIO) -> tuple[bytes, list[bytes]]:
        raw, words = super()._message(stream)
        if not self.after and self._due(words):
            os.kill(self.victim, signal.SIGKILL)
            raise OSError("the module is gone")
        return raw, words

    def _keep(self, words: list[bytes], node: str, done: bool) -> None:
        super()._keep(words, node, done)
        if self.after and self._due(words):
            os.kill(self.victim, signal.SIGKILL)

    def _due(self, words: list[bytes]) -> bool:
        text = b" ".join(words).upper()
        mine = any(text.startswith(CHANGES[action]) for action in self.counted)
        self.sent += mine
        return mine and self.sent == self.limit

    def run(self, name: str, args: t.Mapping[str, t.Any], limit: int, counted: t.Collection[str] = tuple(CHANGES)) -> dict[str, t.Any] | None:
        """The result of the module, or None where it was killed."""
        self.limit, self.sent, self.counted = limit, 0, counted
        arguments = {**args, "redis_address_map": self.address_map, **modules.internal(name, check=False, diff=True, verbosity=0)}
        with subprocess.Popen([sys.executable, "-m", f"{modules.PACKAGE}.{name}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=process.environment(None)) as child:
            self.victim = child.pid
            out, _err = child.communicate(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode(), timeout=90)
        if child.returncode == -signal.SIGKILL:
            return None
        found: dict[str, t.Any] = json.loads(out)
        return found
