# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of the service that never stop: what they wrote and was acknowledged, what they read back, which requests failed.

As clients behind a balancer do, one asks the next address where a connection can't even be made; a request that was sent and not answered has
failed, and one that is answered with an error as well.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
import typing as t
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Addresses = Callable[[], Sequence[str]]
PATIENCE = 10.0     # seconds for one answer
AGAIN = 5.0         # seconds; who can't be connected to anywhere for so long has failed


@dataclass
class Told:
    """What the clients saw. `lost`: written and acknowledged, and not there; `longest`: milliseconds between two answers of one client."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    longest: float = 0.0


class Clients:
    """`with Clients(addresses, token, region) as clients: ...`, then `clients.told()`."""

    def __init__(self, addresses: Addresses, token: str, region: str, count: int = 3, pause: float = 0.02) -> None:
        self.addresses, self.region, self.pause = addresses, region, pause
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._over = threading.Event()
        self._told = Told()
        self._lock = threading.Lock()
        self._written: dict[str, int] = {}
        self._known: Sequence[str] = addresses()
        self._threads = [threading.Thread(target=self._go_on, args=(number,), daemon=True) for number in range(count)]
        self._looker = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Clients:
        for thread in (self._looker, *self._threads):
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in (*self._threads, self._looker):
            thread.join(PATIENCE + AGAIN)

    def remember(self, key: str, value: int) -> None:
        """As if it had been written and acknowledged."""
        self._written[key] = value

    def told(self) -> Told:
        """After the end: each key is read once more."""
        for key, value in self._written.items():
            status, body = self._request("GET", key)
            found = json.loads(body).get("value") if status == 200 else None
            if found != value:
                self._told.lost.append(f"{key}: {value} was acknowledged, and {found} is there")
        return self._told

    def _look(self) -> None:
        while not self._over.wait(0.2):
            try:
                self._known = self.addresses() or self._known
            except Exception:       # the one who tells them is busy
                continue

    def _go_on(self, client: int) -> None:
        last = time.monotonic()
        for number in itertools.count():
            if self._over.is_set():
                return
            key = f"continuous:{client}:{number % 20}"
            status, body = self._request("PUT", key, number)
            if status // 100 == 2:
                self._written[key] = number
                status, body = self._request("GET", key)
            now = time.monotonic()
            with self._lock:
                if status // 100 == 2:
                    self._told.answered += 1
                    self._told.longest = max(self._told.longest, 1000 * (now - last))
                else:
                    self._told.failed.append(f"{time.strftime('%H:%M:%S')} {key}: {status} {body[:80]!r}")
                    self._written.pop(key, None)
            last = now
            self._over.wait(self.pause)

    def _request(self, method: str, key: str, value: t.Any = None) -> tuple[int, bytes]:
        path = f"/api/v1/cache/regions/{self.region}/keys/{key}"
        body = None if value is None else json.dumps({"value": value, "ttl": "PT1H"})
        end = time.monotonic() + AGAIN
        for turn in itertools.count():
            known = self._known
            wire = http.client.HTTPConnection(known[(turn + hash(key)) % len(known)], timeout=PATIENCE)
            try:
                wire.connect()
            except OSError as error:
                if time.monotonic() > end:
                    return 0, f"no connection: {error}".encode()
                time.sleep(0.02)
                continue
            try:
                wire.request(method, path, body, self.headers)
                answer = wire.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                return 0, f"{type(error).__name__}: {error}".encode()
            finally:
                wire.close()
        raise AssertionError
