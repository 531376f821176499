# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Canaries: secrets that must turn up nowhere, and a scanner that knows how they look when they were encoded."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import secrets
import threading
import typing as t
from pathlib import Path
from urllib.parse import quote, quote_plus


class Finding(t.NamedTuple):
    canary: str     # its name, never its value
    form: str
    place: str


def fresh(name: str) -> str:
    """A secret that is like a token, has characters that a URL escapes, and is found by nothing else."""
    return f"{name}+{secrets.token_hex(12)}/{secrets.token_hex(4)}=="


def forms(secret: str) -> dict[str, bytes]:
    """How a secret may look: as it is, in hex, in a URL, in HTML or JSON, and in base64 with anything before or after it."""
    raw = secret.encode()
    found = {
        "plain": raw, "hex": raw.hex().encode(), "url": quote(secret, safe="").encode(), "path": quote(secret).encode(), "form": quote_plus(secret).encode(),
        "html": html.escape(secret).encode(), "json": json.dumps(secret)[1:-1].encode(), "reversed": raw[::-1],
    }
    for before in range(3):     # base64 of three bytes each: what stands before moves the secret by up to two
        text = base64.b64encode(b"\0" * before + raw)
        core = text[4 if before else 0:len(text) // 4 * 4 - 4]
        found[f"base64+{before}"] = core
        found[f"base64url+{before}"] = core.translate(bytes.maketrans(b"+/", b"-_"))
    return found


class Canaries:
    """The secrets of one test, by name."""

    def __init__(self, **given: str) -> None:
        self.secrets = given
        self._forms = {name: forms(secret) for name, secret in given.items()}

    def in_bytes(self, content: bytes, place: str) -> list[Finding]:
        lower = content.lower()
        return [
            Finding(name, form, place) for name, shapes in self._forms.items() for form, shape in shapes.items()
            if (shape in lower if form == "hex" else shape in content)
        ]

    def in_text(self, content: str, place: str) -> list[Finding]:
        return self.in_bytes(content.encode("utf-8", "surrogateescape"), place)

    def in_folder(self, folder: Path) -> list[Finding]:
        """In the files below a folder, and in their names."""
        found = self.in_text("\n".join(str(path) for path in folder.rglob("*")), f"names in {folder}")
        for path in folder.rglob("*"):
            if path.is_file():
                with contextlib.suppress(OSError):
                    found += self.in_bytes(path.read_bytes(), str(path))
        return found


class CommandLines:
    """Looks at the command lines of all processes again and again, for the time of a `with`."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> CommandLines:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            self._look()

    def _look(self) -> None:
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    self.seen.add(Path(f"/proc/{name}/cmdline").read_bytes())

    def findings(self, canaries: Canaries) -> list[Finding]:
        return [finding for line in self.seen for finding in canaries.in_bytes(line, "a command line")]
