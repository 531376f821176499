# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The positive control of the clients that verify: they tell what is not to be trusted."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from tests.fleet.certificates import Authority
from tests.harness.handshakes import SERVICE, Handshakes, OpenSsl


def serve(folder: Path) -> socket.socket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                plain, _address = listener.accept()
                with context.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(1000)
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            except ssl.SSLError:
                continue
            except OSError:
                return

    threading.Thread(target=answer, daemon=True).start()
    return listener


@pytest.mark.parametrize("kind", [Handshakes, OpenSsl])
def test_what_is_not_to_be_trusted_is_told(kind: type[Handshakes], tmp_path: Path) -> None:
    good, bad = Authority("good"), Authority("bad")
    good.supply(tmp_path / "client", "client", "client")
    good.supply(tmp_path / "right", "right", "127.0.0.1")
    good.supply(tmp_path / "nameless", "nameless", "127.0.0.2")
    good.supply(tmp_path / "over", "over", "127.0.0.1", days=-0.1)
    bad.supply(tmp_path / "strange", "strange", "127.0.0.1")
    listeners = {name: serve(tmp_path / name) for name in ("right", "nameless", "over", "strange")}
    places = {name: f"127.0.0.1:{one.getsockname()[1]}" for name, one in listeners.items()}
    with kind(tmp_path / "client", dict.fromkeys(places.values(), SERVICE), pause=0.05) as going:
        time.sleep(2)
    for one in listeners.values():
        one.close()
    assert going.done > 2 and len(going.seen[places["right"]]) == 1
    for name in ("nameless", "over", "strange"):
        assert going.seen[places[name]] == [] and any(places[name] in line for line in going.failures), (name, going.failures)
    assert not any(places["right"] in line for line in going.failures)
