# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of the service are replaced while it runs: no handshake fails meanwhile, and it serves what it says it serves."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.conftest import TOKENS, Api, Start, wait_until
from tests.fleet.certificates import Authority
from tests.harness import process

STATUS, REFRESH = "/admin/security/tls-status", "/actuator/refresh"


class Served:
    """A service with TLS, and clients that verify it."""

    def __init__(self, start: Start, folder: Path, *options: str) -> None:
        self.authority, self.folder = Authority("tests"), folder
        self.supply()
        self.port = process.free_port()
        files = ["--tls-cert", str(folder / "tls.crt"), "--tls-key", str(folder / "tls.key")]
        self.process, self.api = start("--tls-port", str(self.port), *files, *options)
        process.wait_for_port(self.process, "127.0.0.1", self.port)     # it opens after the one without TLS

    def supply(self, **options: float) -> None:
        self.authority.supply(self.folder, "caching-service", "127.0.0.1", **options)

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "ca.crt"))

    def connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=self.trusting())

    @property
    def fingerprint(self) -> str:
        """Of what a new handshake shows."""
        connection = self.connection()
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        seen = connection.sock.getpeercert(binary_form=True)
        connection.close()
        return hashlib.sha256(seen or b"").hexdigest()

    @property
    def told(self) -> str:
        return str(self.api.done("GET", STATUS)["certificate"]["fingerprint"])

    @property
    def filed(self) -> str:
        """Of what stands in the file."""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert((self.folder / "tls.crt").read_text())).hexdigest()


@pytest.fixture
def served(start: Start, tmp_path: Path) -> Served:
    return Served(start, tmp_path / "tls", "--tls-watch", "0.1")


@pytest.fixture
def hurry(served: Served) -> Iterator[list[str]]:
    """Clients that connect all the time; what went wrong."""
    over, wrong = threading.Event(), list[str]()
    context = served.trusting()

    def connect() -> None:
        while not over.is_set():
            connection = http.client.HTTPSConnection("127.0.0.1", served.port, timeout=5, context=context)
            try:
                connection.request("GET", "/actuator/health/liveness")
                if connection.getresponse().status != 200:
                    wrong.append("status")
            except (OSError, http.client.HTTPException) as error:
                wrong.append(str(error))
            connection.close()

    clients = [threading.Thread(target=connect) for _number in range(2)]
    for client in clients:
        client.start()
    yield wrong
    over.set()
    for client in clients:
        client.join()


def test_new_ones_are_served_and_nobody_is_refused(served: Served, hurry: list[str]) -> None:
    kept = served.connection()
    kept.connect()
    assert isinstance(kept.sock, ssl.SSLSocket)
    first, old = served.fingerprint, kept.sock.getpeercert(binary_form=True)
    assert first == served.told == served.filed
    for _rotation in range(5):
        served.supply()
        assert wait_until(lambda: served.fingerprint == served.filed) and served.told == served.filed != first
    kept.request("GET", "/actuator/health/liveness")
    assert kept.getresponse().status == 200 and kept.sock.getpeercert(binary_form=True) == old, "what is open goes on as it was"
    assert hurry == []


def test_half_a_pair_changes_nothing_until_it_is_whole(served: Served, hurry: list[str]) -> None:
    before = served.fingerprint
    certificate, key = served.authority.issue("caching-service", "127.0.0.1")
    _other, wrong = served.authority.issue("caching-service", "127.0.0.1")
    folder = served.folder / "current"
    for texts in ((certificate[:200], key), (certificate, ""), (certificate, wrong)):
        for name, text in zip(("tls.crt", "tls.key"), texts):
            (folder / name).write_text(text)
        assert not wait_until(lambda: served.fingerprint != before, 0.4) and served.told == before
    (folder / "tls.key").unlink()
    assert not wait_until(lambda: served.fingerprint != before, 0.4)
    (folder / "tls.key").write_text(key)
    assert wait_until(lambda: served.fingerprint == served.filed) and served.filed != before and hurry == []


def test_a_refresh_looks_at_once(start: Start, tmp_path: Path) -> None:
    served = Served(start, tmp_path / "tls", "--tls-watch", "0")
    before = served.fingerprint
    assert served.api.done("POST", REFRESH) == []
    served.supply()
    assert not wait_until(lambda: served.fingerprint != before, 0.5)
    assert served.api.done("POST", REFRESH) == ["server.ssl.certificate"] and served.fingerprint == served.told == served.filed
    assert served.api.done("POST", REFRESH) == []


def test_a_start_with_files_that_can_not_be_used_says_so(tmp_path: Path) -> None:
    Authority("tests").supply(tmp_path, "caching-service", "127.0.0.1")
    (tmp_path / "text").write_text("nothing")
    tls, redis = ["--tls-port", str(process.free_port()), "--tls-cert", str(tmp_path / "text"), "--tls-key", str(tmp_path / "tls.key")], "--redis-ca"
    for options, told in ((tls, "--tls-cert, --tls-key: "), ([redis, str(tmp_path / "text")], "--redis-ca, --redis-cert, --redis-key: "),
                          (["--redis-cert", "x", "--redis-key", "y"], "--redis-cert needs --redis-key and --redis-ca")):
        one = process.start("tests.fleet.service", ["--port", str(process.free_port()), "--management-port", "0", *options],
                            {f"{role.upper()}_TOKEN": token for role, token in TOKENS.items()}, stderr=subprocess.PIPE)
        _out, text = one.communicate(timeout=20)
        assert one.returncode == 2 and text.startswith(f"caching-service: {told}") and text.count("\n") == 1, text


def test_what_redis_is_reached_with_is_told(start: Start, tmp_path: Path) -> None:
    Authority("tests").supply(tmp_path, "caching-service", "127.0.0.1")
    hidden = ["--dialect", "hidden-settings"]   # else the answer needs Redis
    _process, plain = start(*hidden)
    files = [word for name in ("ca", "cert", "key") for word in (f"--redis-{name}", str(tmp_path / {"ca": "ca.crt", "cert": "tls.crt"}.get(name, "tls.key")))]
    _process, secure = start(*hidden, *files)

    def told(api: Api) -> tuple[bool, bool]:
        beans = api.done("GET", "/actuator/configprops")["contexts"]["caching-service"]["beans"]
        seen = next(bean["properties"] for bean in beans.values() if bean["prefix"] == "spring.data.redis")["ssl"]
        return seen["enabled"], seen["clientCertificate"]

    assert (told(plain), told(secure)) == ((False, False), (True, True))
