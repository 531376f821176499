# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client of one node says before it asks."""

from __future__ import annotations

import socket
import threading

from ansible_collections.exalt.caching.plugins.module_utils._redis import Redis


def test_a_client_does_not_introduce_itself() -> None:
    """A backup of six nodes makes some forty clients: each further round trip, and each look-up of the library's version, counts."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        def answer() -> None:
            wire, _address = server.accept()
            with wire:
                while data := wire.recv(4096):
                    heard.append(data)
                    wire.sendall(b"%1\r\n+proto\r\n:3\r\n" if b"HELLO" in data else b"+PONG\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        client = Redis({"redis_nodes": [f"127.0.0.1:{port}"]}).client("127.0.0.1", port)
        assert client.ping()
        client.close()
        thread.join(5.0)
    said = [line.split(b"\r\n")[2] for line in heard]
    assert [word for word in said if word != b"HELLO"] == [b"PING"]
