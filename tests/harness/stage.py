# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the reference service for setting the stage of a test: past the recording proxy, with the admin token."""

from __future__ import annotations

import json
import time
import typing as t
from urllib.parse import quote

import urllib3

from tests.harness.targets import Service

REGIONS = "/api/v1/cache/regions"


class Stage:
    """Puts regions and entries into a service and looks at them."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(10))

    def send(self, method: str, path: str, body: t.Any = None) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {self.service.tokens['admin']}", "Content-Type": "application/json"}
        return self._pool.request(method, self.service.direct_url + path, headers=headers, body=None if body is None else json.dumps(body))

    def call(self, method: str, path: str, body: t.Any = None, expect: t.Container[int] = ()) -> t.Any:
        answer = self.send(method, path, body)
        assert answer.status < 300 or answer.status in expect, f"{method} {path}: {answer.status} {answer.data!r}"
        return json.loads(answer.data) if answer.data else None

    def region(self, name: str, **settings: t.Any) -> None:
        """Make it, if it isn't there, and wait until it is (a service may make it later)."""
        self.call("POST", REGIONS, {"name": name, "maxSize": 100000, "defaultTtl": "PT1H", **settings}, expect=(409,))
        self._until(lambda: self.send("GET", f"{REGIONS}/{quote(name, safe='')}/stats").status == 200)

    def _until(self, reached: t.Callable[[], bool]) -> None:
        for _attempt in range(100):
            if reached():
                return
            time.sleep(0.05)
        raise AssertionError("the stage was not set in 5 s")

    def regions(self) -> dict[str, dict[str, t.Any]]:
        """All regions as the standard dialect gives them."""
        return {entry["name"]: entry for entry in self.call("GET", REGIONS)}

    def entries(self, region: str, keys: t.Iterable[str], tags: t.Sequence[str] = ()) -> None:
        for key in keys:
            self.call("PUT", self._path(region, key), {"value": {"id": key}, "ttl": "PT1H", **({"tags": list(tags)} if tags else {})})
            self._until(lambda: self.there(region, key))

    def there(self, region: str, key: str) -> bool:
        return self.send("HEAD", self._path(region, key)).status == 200

    def _path(self, region: str, key: str) -> str:
        return f"{REGIONS}/{quote(region, safe='')}/keys/{quote(key, safe='')}"
