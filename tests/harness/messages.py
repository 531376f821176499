# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/1.1 messages as bytes, for the recording proxy: read one, write one, change nothing in between."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

LIMIT = 1 << 20     # longest head
HTML_502 = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\r\n"


@dataclass
class Message:
    """One request or response; `body` is as it was sent, with chunk marks if it had any."""

    start: str
    headers: dict[str, str] = field(default_factory=dict)
    head: bytes = b""
    body: bytes = b""
    closes: bool = False    # no further message follows on this connection


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while True:
        size = await reader.readline()
        parts.append(size)
        length = int(size.split(b";")[0], 16)
        if not length:
            break
        parts.append(await reader.readexactly(length + 2))
    while True:
        line = await reader.readline()
        parts.append(line)
        if line in (b"\r\n", b""):
            return b"".join(parts)


async def read(reader: asyncio.StreamReader, answer_to: str = "") -> Message | None:
    """The next message, or None at the end. `answer_to` is the request's method when it is a response."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ConnectionResetError("the head was cut") from error
        return None
    lines = head[:-4].decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines[1:])}
    message = Message(lines[0], headers, head, closes=headers.get("connection", "").lower() == "close")
    status = int(lines[0].split(" ")[1]) if answer_to else 0
    try:
        if answer_to == "HEAD" or status in (204, 304) or 100 <= status < 200:
            return message
        if "chunked" in headers.get("transfer-encoding", "").lower():
            message.body = await _chunks(reader)
        elif "content-length" in headers:
            message.body = await reader.readexactly(int(headers["content-length"]))
        elif answer_to:
            message.body = await reader.read()
            message.closes = True
    except (asyncio.IncompleteReadError, ValueError) as error:
        raise ConnectionResetError("the body was cut") from error
    return message


def response(status: int, headers: Mapping[str, str], body: bytes) -> Message:
    reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
    lines = [f"HTTP/1.1 {status} {reason}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return Message(lines[0], dict(headers), ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), body)
