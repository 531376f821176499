# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that verify, all the time: each handshake is a new connection, as strict as Python is, with what is trusted at that moment.

A client is who the modules are: it shows and trusts what is in their own folder, and reads one whole version of it for each handshake.
"""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import threading
import time
import typing as t
from collections.abc import Mapping
from pathlib import Path

SERVICE, REDIS = "service", "redis"


class Handshakes:
    """`endpoints`: host:port → what speaks there. `folder`: where `current` leads to the version in force."""

    def __init__(self, folder: Path, endpoints: Mapping[str, str], pause: float = 0.3) -> None:
        self.folder, self.endpoints, self.pause = folder, endpoints, pause
        self.done = 0
        self.failures: list[str] = []
        self.seen: dict[str, list[str]] = {endpoint: [] for endpoint in endpoints}     # fingerprints, in the order in which they came
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._go_on, args=(endpoint,), daemon=True) for endpoint in endpoints]

    def __enter__(self) -> t.Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(10)

    def _go_on(self, endpoint: str) -> None:
        while not self._over.is_set():
            try:
                found = self.once(endpoint)
            except (OSError, ValueError) as error:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {endpoint}: {error}")
            else:
                self.done += 1
                if self.seen[endpoint][-1:] != [found]:
                    self.seen[endpoint].append(found)
            self._over.wait(self.pause)

    def once(self, endpoint: str) -> str:
        """One handshake and one question; the fingerprint that was shown."""
        host, _colon, port = endpoint.rpartition(":")
        version = self.folder / os.readlink(self.folder / "current")
        context = ssl.create_default_context(cafile=str(version / "ca.crt"))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        if self.endpoints[endpoint] == REDIS:
            context.load_cert_chain(version / "tls.crt", version / "tls.key")
        with socket.create_connection((host, int(port)), 10) as plain, context.wrap_socket(plain, server_hostname=host) as secure:
            ask, expected = (b"PING\r\n", (b"+PONG", b"-NOAUTH")) if self.endpoints[endpoint] == REDIS else (
                b"GET /actuator/health/liveness HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", (b"HTTP/1.1 ",))
            secure.sendall(ask)      # with TLS 1.3 the other side refuses a client's certificate after the handshake only
            answer = secure.recv(64)
            if not answer.startswith(expected):
                raise ValueError(f"answered {answer!r}")
            return hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()
