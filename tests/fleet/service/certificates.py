# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that are replaced while the service runs, as Spring Boot does with SSL bundles that are reloaded on update.

The files are looked at in an interval, and read again when anything about them has changed. A pair that is half-written or does not match
is logged once, and what was loaded before is used until there is a whole one: no handshake ever meets anything in between. Connections
that are open keep what they were made with.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Sequence
from typing import Any

log = logging.getLogger("caching-service")

Stamp = tuple[tuple[int, ...], ...]


class Reloaded:
    """A TLS context made of files; `context` is the newest that could be made."""

    def __init__(self, name: str, files: Sequence[str], make: Callable[[], ssl.SSLContext]) -> None:
        self.name = name
        self._files, self._make = [file for file in files if file], make
        self._seen = self._stamp()
        self.context = make()

    def _stamp(self) -> Stamp:
        """What changes with a file: also when a link on the way to it, or its folder, is replaced."""
        found = []
        for file in self._files:
            try:
                seen = os.stat(file)
                found.append((seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_size))
            except OSError as error:
                found.append((error.errno or -1,))
        return tuple(found)

    def look(self) -> bool:
        """Whether there was something new, which is used from now on."""
        stamp = self._stamp()   # before reading: what is written meanwhile is new at the next look
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            self.context = self._make()
        except (OSError, ValueError) as error:
            log.warning("%s: the new certificate can't be used (%s), the old one stays: %s", self.name, error, ", ".join(self._files))
            return False
        log.warning("%s: a new certificate is used: %s", self.name, ", ".join(self._files))
        return True


def serving(certificate: str, key: str) -> tuple[ssl.SSLContext, Reloaded]:
    """What a server is started with, which gives each handshake the newest context, and what has to be looked at."""
    def make() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password=lambda: "")   # else OpenSSL asks for one on the terminal
        return context

    found = Reloaded("the TLS port", (certificate, key), make)
    first = make()

    def newest(connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = found.context   # called for each handshake, also of clients that name no server

    first.sni_callback = newest
    return first, found


def trusting(authorities: str, certificate: str, key: str) -> Reloaded:
    """What a client of Redis connects with: Redis is verified, by these authorities only, and shown the certificate if there is one."""
    def make() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=authorities)
        if certificate:
            context.load_cert_chain(certificate, key, password=lambda: "")
        return context

    return Reloaded("TLS to Redis", (authorities, certificate, key), make)


async def follow(watched: Sequence[Reloaded], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        for one in watched:
            one.look()
