# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plain HTTP client for the service, as a user of curl has it."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import urllib3

from tests.harness import process
from tests.harness.targets import Fleet, Service, Services, forget

REGIONS = "/api/v1/cache/regions"
TOKENS = {"api": "api", "admin": "admin", "monitor": "monitor"}


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]


class Api:
    """Requests to one service; the token is that of a role, and JSON is sent as the guide sends it."""

    def __init__(self, url: str, tokens: Mapping[str, str]) -> None:
        self.url, self.tokens = url, tokens
        self.pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(15))

    def __call__(
        self, method: str, path: str, body: object = None, *, token: str = "admin", text: bytes | None = None,
        kind: str = "application/json",
    ) -> Answer:
        headers = {"Authorization": f"Bearer {self.tokens.get(token, token)}"} if token else {}
        data = text if body is None else json.dumps(body).encode()
        if data is not None and kind:
            headers["Content-Type"] = kind
        answer = self.pool.request(method, self.url + path, body=data, headers=headers)
        parsed = json.loads(answer.data) if answer.data else None
        return Answer(answer.status, parsed, answer.headers)

    def region(self, name: str, **fields: object) -> dict[str, Any]:
        """Creates a region."""
        answer = self("POST", REGIONS, {"name": name, **fields})
        assert answer.status == 201, answer
        return dict(answer.body)

    def done(self, method: str, path: str, body: object = None, **options: Any) -> Any:
        """The body of an answer that must be a success."""
        answer = self(method, path, body, **options)
        assert 200 <= answer.status < 300, answer
        return answer.body

    def regions(self) -> dict[str, dict[str, Any]]:
        """All regions by name, whatever the shape of the list (its first page)."""
        body = self("GET", REGIONS).body
        if isinstance(body, dict):
            found = body.get("regions", body.get("content", body.get("_embedded", {}).get("regions")))
            body = list(body.values()) if found is None else found
        return {region["name"]: region for region in body}

    def fill(self, region: str, *keys: str, **fields: object) -> None:
        """Sets entries, in this order."""
        for key in keys:
            answer = self("PUT", entry(region, key), {"value": {"id": key}, **fields}, token="api")
            assert answer.status == 200, answer

    def keys(self, region: str, *keys: str) -> set[str]:
        """Which of these keys exist; asking doesn't count as use."""
        return {key for key in keys if self("HEAD", entry(region, key), token="api").status == 200}

    def size(self, region: str) -> int:
        return int(self("GET", f"{REGIONS}/{quote(region, safe='')}/stats").body["size"])


def entry(region: str, key: str) -> str:
    return f"{REGIONS}/{quote(region, safe='')}/keys/{quote(key, safe=':')}"


def wait_until(condition: Callable[[], bool], seconds: float = 3.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def make_api(service: Callable[..., Service]) -> Callable[..., Api]:
    """`make_api("paged")`: a client of an empty service of these dialects."""

    def make(*dialects: str) -> Api:
        target = service(*dialects)
        return Api(target.url, target.tokens)

    return make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()


@pytest.fixture(scope="module")
def standing(_services: Services) -> Api:
    """A client for tests that leave nothing behind: the service is not emptied between them."""
    target = _services.get(())
    return Api(target.url, target.tokens)


Start = Callable[..., tuple[subprocess.Popen[str], Api]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a service with these options on a free port of its own."""
    running = []

    def launch(*options: str, password: str = "none", user: str = "") -> tuple[subprocess.Popen[str], Api]:
        port = process.free_port()
        arguments = ["--port", str(port), "--management-port", "0", *options]
        environment = {f"{role.upper()}_TOKEN": token for role, token in TOKENS.items()}
        environment |= {"REDIS_PASSWORD": password, "REDIS_USERNAME": user}
        one = process.start("tests.fleet.service", arguments, environment)
        running.append(one)
        process.wait_for_port(one, "127.0.0.1", port)
        return one, Api(f"http://127.0.0.1:{port}", TOKENS)

    yield launch
    for one in running:
        process.stop(one)


@pytest.fixture
def member(fleet: Fleet, start: Start) -> Iterator[Start]:
    """Starts an instance on the fleet's Redis; all that one test starts are instances of one service."""
    namespace = f"test-{secrets.token_hex(4)}:"

    def launch(*options: str) -> tuple[subprocess.Popen[str], Api]:
        redis = ",".join(fleet.facts["redis_nodes"])
        return start("--redis", redis, "--namespace", namespace, "--drain", "0", *options,
                     password=fleet.state.secret("redis_service_password"), user="caching-service")

    yield launch
    forget(fleet, namespace)
