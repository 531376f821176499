# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers as they come over the wire: in drops, in chunks, compressed, with a byte order mark, with every kind of Retry-After."""

from __future__ import annotations

import email.utils
import gzip
import socket
import threading
import time
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError, Unreachable
from ansible_collections.exalt.caching.plugins.module_utils._http import Answer, Http

OK = "HTTP/1.1 200 OK\r\n"


def plain(body: bytes, *headers: str, status: str = OK) -> list[bytes]:
    return [(status + "".join(f"{header}\r\n" for header in (*headers, f"Content-Length: {len(body)}", "Connection: close")) + "\r\n").encode() + body]


@contextmanager
def server(*answers: list[bytes], pause: float = 0.0, host: str = "127.0.0.1") -> Iterator[str]:
    """One answer for each connection, piece by piece."""
    listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)

    def serve() -> None:
        with suppress(OSError):
            for pieces in answers:
                connection, _address = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    for piece in pieces:
                        connection.sendall(piece)
                        time.sleep(pause)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/"
    finally:
        listener.close()


def get(url: str, **options: t.Any) -> Answer:
    return Http(**{"timeout": 2.0, "retries": 1, **options}).send("GET", [url])


CHUNKED = [(OK + "Transfer-Encoding: chunked\r\n\r\n").encode(), b"3\r\n[1,\r\n", b"2\r\n2]\r\n", b"0\r\n\r\n"]


@pytest.mark.parametrize("pieces", [
    plain(b"[1,2]"), plain(gzip.compress(b"[1,2]"), "Content-Encoding: gzip"), plain(b"\xef\xbb\xbf[1,2]"), CHUNKED,
    [bytes([byte]) for byte in plain(b"[1,2]")[0]], [(OK + "\r\n").encode(), b"[1,", b"2]"],
], ids=["plain", "gzip", "byte-order-mark", "chunked", "byte-by-byte", "until-closed"])
def test_every_way_of_sending(pieces: list[bytes]) -> None:
    with server(pieces) as url:
        assert get(url).json() == [1, 2]


def test_over_ipv6_and_past_a_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with server(plain(b"[]"), host="::1") as url:
        assert get(url).json() == []


@pytest.mark.parametrize("pieces", [
    [plain(b" " * 200)[0][:-200], *[b" "] * 200],
    [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc8\r\n", *[b" "] * 200],
], ids=["length", "chunked"])
def test_an_answer_in_drops_ends_with_the_time_of_a_request(pieces: list[bytes]) -> None:
    started = time.monotonic()
    with server(pieces, pause=0.05) as url, pytest.raises(Unreachable, match="no complete answer within 0.5 s"):
        get(url, timeout=0.5, retries=0)
    assert time.monotonic() - started < 2


def test_a_chunk_that_ends_early() -> None:
    with server([CHUNKED[0], b"20\r\nabc"]) as url, pytest.raises(Unreachable, match="ended in the middle of the answer"):
        get(url, retries=0)


@pytest.mark.parametrize(("asked", "least"), [("1", 1.0), ("0.5", 0.5), ("0", 0.0), ("soon", 0.0), ("-1", 0.0)])
def test_retry_after_is_kept(asked: str, least: float) -> None:
    busy = plain(b"", f"Retry-After: {asked}", status="HTTP/1.1 503 Busy\r\n")
    started = time.monotonic()
    with server(busy, plain(b"[]")) as url:
        assert get(url).ok and least <= time.monotonic() - started < least + 1.5


@pytest.mark.parametrize("asked", ["31", "30.5", "99999999999", "in 40 s, as a date"])
def test_a_long_retry_after_is_an_error(asked: str) -> None:
    text = email.utils.formatdate(time.time() + 40, usegmt=True) if "date" in asked else asked
    with server(plain(b"", f"Retry-After: {text}", status="HTTP/1.1 429 Slow\r\n")) as url:
        with pytest.raises(CachingError, match="more than 30 s is not waited for"):
            get(url)
