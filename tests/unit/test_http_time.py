# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time of one request, against servers on real sockets that never stop sending and never come to an end."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from ansible_collections.exalt.caching.plugins.module_utils._errors import Unreachable
from ansible_collections.exalt.caching.plugins.module_utils._http import Http

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\nX-Filler: " + b"x" * 40 + b"\r\n\r\n"
# What is sent at once, and what comes drop by drop, each in less than the time of a request.
DRIPS = {
    "status": (b"", HEAD),
    "header": (b"HTTP/1.1 200 OK\r\nX-Filler: ", b"x" * 40),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 4),
    "body": (HEAD, b"y" * 40),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nz\r\n" * 10),
}


@contextlib.contextmanager
def serving(at_once: bytes, drops: bytes, pause: float, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that answers each request so; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def answer(plain: socket.socket) -> None:
            with contextlib.suppress(OSError), (context.wrap_socket(plain, server_side=True) if context else plain) as client:
                while client.recv(65536):
                    client.sendall(at_once)
                    for place in range(len(drops)):
                        client.sendall(drops[place:place + 1])
                        time.sleep(pause)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize("kind", DRIPS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_drips_ends_in_time(tmp_path: Path, kind: str, scheme: str) -> None:
    context, ca = None, None
    if scheme == "https":
        authority = trustme.CA()
        ca = str(tmp_path / "ca.pem")
        authority.cert_pem.write_to_path(ca)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    client = Http(timeout=0.4, retries=0, ca_path=ca)
    with serving(*DRIPS[kind], pause=0.1, context=context) as port:
        started = time.monotonic()
        with pytest.raises(Unreachable, match=r"no complete answer within 0\.4 s"):
            client.send("GET", [f"{scheme}://127.0.0.1:{port}/"])
        assert 0.3 < time.monotonic() - started < 0.9


@pytest.mark.parametrize("kind", ["status", "body"])
def test_what_drips_and_ends_in_time_is_an_answer_and_the_connection_stays(kind: str) -> None:
    at_once, drops = DRIPS[kind]
    whole = drops if kind == "body" else drops + b"y" * 40
    client = Http(timeout=2, retries=0)
    with serving(at_once, whole, pause=0.001) as port:
        for _number in range(2):
            assert client.send("GET", [f"http://127.0.0.1:{port}/"]).body == b"y" * 40
            time.sleep(0.3)    # the time that was left of one request is not that of the next
