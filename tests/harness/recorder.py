# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running recording proxy, as tests see it."""

from __future__ import annotations

import json
import subprocess
import typing as t
from collections.abc import Mapping, Sequence

import urllib3

from tests.fleet.local.layout import INSTANCES, State
from tests.harness import coverage, process
from tests.harness.proxy import digest

WRITES = ("POST", "PUT", "PATCH", "DELETE")


class ProxyClient:
    """Proxies to one or more addresses, in one process, with one list of records."""

    def __init__(self, upstreams: Sequence[str], tokens: Mapping[str, str], fleet: State | None = None) -> None:
        arguments = ["--control", "127.0.0.1:0"]
        for upstream in upstreams:
            arguments += ["--listen", "127.0.0.1:0", "--upstream", upstream]
        if fleet:
            folder = fleet.certificate(INSTANCES[0].name)
            arguments += ["--ca", str(fleet.ca), "--tls-cert", str(folder / "tls.crt"), "--tls-key", str(folder / "tls.key")]
        self._process = process.start("tests.harness.proxy", arguments, stdout=subprocess.PIPE)
        assert self._process.stdout
        addresses = json.loads(self._process.stdout.readline())
        self.urls: list[str] = addresses["listen"]
        self.url = self.urls[0]
        self._control: str = addresses["control"]
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(10))
        self._call("PUT", "/roles", {digest(token): role for role, token in tokens.items()})
        coverage.register(self)

    def _call(self, method: str, path: str, body: t.Any = None) -> t.Any:
        data = None if body is None else json.dumps(body).encode()
        answer = self._pool.request(method, self._control + path, body=data)
        result = json.loads(answer.data)
        if answer.status != 200:
            raise ValueError(result["error"])
        return result

    def label(self, name: str) -> None:
        """Put this name on everything recorded from now on."""
        self._call("PUT", "/label", {"label": name})

    def records(self, name: str = "") -> list[dict[str, t.Any]]:
        """What was recorded since the last `clear`, under this label or under any."""
        return [one for one in self._call("GET", "/records") if not name or one["label"] == name]

    def writes(self) -> list[dict[str, t.Any]]:
        """The recorded requests that may change something (reading many entries is a POST, too)."""
        return [one for one in self.records() if one["method"] in WRITES and not one["path"].endswith("/keys/batch")]

    def calls(self) -> list[str]:
        """The recorded requests as `METHOD path`, for comparisons."""
        return [f"{one['method']} {one['path']}" for one in self.records()]

    def clear(self) -> None:
        coverage.keep(self)
        self._call("DELETE", "/records")

    def break_with(self, *rules: Mapping[str, t.Any]) -> None:
        """From now on these faults (see tests/harness/faults.py); none at all when called without."""
        self._call("PUT", "/faults", list(rules))

    def delivered(self) -> list[int]:
        """How often each of the present faults was delivered."""
        return [rule["delivered"] for rule in self._call("GET", "/faults")]

    def close(self) -> None:
        coverage.unregister(self)
        self._pool.clear()
        process.stop(self._process)
