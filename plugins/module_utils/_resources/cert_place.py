# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Where a certificate is kept: its versions, the one that serves, and a request that waits. Files and Secrets are such places.

A version is a whole set (certificate with its chain, key, trusted roots, keystores) under a number, and is never changed. The highest
number that was ever shown serves; going back makes a new version with the content of an old one, so numbers only grow.
"""

from __future__ import annotations

import json
import typing as t

CERTIFICATE, KEY, ROOTS, REQUEST = "tls.crt", "tls.key", "ca.crt", "tls.csr"
KEYSTORE, TRUSTSTORE = "keystore.p12", "truststore.p12"
NOTES = "version.json"
PRIVATE = (KEY, KEYSTORE)
OURS = (CERTIFICATE, KEY, ROOTS, KEYSTORE, TRUSTSTORE)


class Version(t.NamedTuple):
    """``files`` by their names; ``back_from``: the number that it was rolled back from, or 0."""

    number: int
    files: dict[str, bytes]
    back_from: int = 0


class Contents(t.NamedTuple):
    """What a place has. ``previous``: newest first. ``untidy``: what a run that was cut off left. ``drift``: owners, modes and links.
    ``activated``: the version of which somebody said that its programs have read it, or 0."""

    current: Version | None = None
    previous: tuple[Version, ...] = ()
    asked: dict[str, bytes] = {}
    untidy: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()
    activated: int = 0


class Moved(Exception):
    """Somebody else changed the place since it was read; nothing was done."""


class Place(t.Protocol):
    """One place. Each writing call is a single switch: killed before or after it, there is one whole version."""

    def alone(self) -> t.ContextManager[None]: ...

    def read(self) -> Contents: ...

    def install(self, version: Version) -> None:
        """Make it serve; a request that waited is over, and versions beyond those to keep go."""

    def ask(self, files: dict[str, bytes]) -> None:
        """Keep a key and its request, beside what serves."""

    def tidy(self) -> None:
        """Remove what a run that was cut off left; owners, modes and links as declared."""

    def mark(self, number: int) -> None:
        """Keep that programs have read this version."""

    def where(self, version: Version | None) -> dict[str, t.Any]:
        """How results name it."""


def notes(version: Version) -> bytes:
    return json.dumps({"number": version.number, "rolled_back_from": version.back_from}).encode()


def back_from(data: bytes) -> int:
    try:
        found = json.loads(data)
    except ValueError:
        return 0
    number = found.get("rolled_back_from") if isinstance(found, dict) else 0
    return number if isinstance(number, int) and not isinstance(number, bool) and number > 0 else 0
