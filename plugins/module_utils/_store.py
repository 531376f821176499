# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The store: one small port for everything that is kept outside of the fleet (records, locks, backups).

The port is in ``_store_port``, its adapters are a directory and S3.
"""

from __future__ import annotations

import re
import typing as t
from urllib.parse import unquote, urlsplit

from ._errors import CachingError, one_line
from ._store_directory import Directory
from ._store_port import CHUNK, Entry, Reader, Store, Writer, checked

__all__ = ("CHUNK", "Directory", "Entry", "Reader", "Store", "Writer", "open_store")

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")


def open_store(params: t.Mapping[str, t.Any]) -> Store:
    """The store behind the options of the fragment ``store``."""
    url = params.get("store_url") or ""
    if not url:
        raise CachingError("store_url: give a store, such as file:///var/lib/exalt-caching or s3://bucket/prefix")
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and len(parts.path) > 1 and "\0" not in unquote(parts.path):
        return Directory(unquote(parts.path))
    if parts.scheme == "s3" and _BUCKET.fullmatch(parts.netloc) and not parts.query and not parts.fragment:
        prefix = unquote(parts.path).strip("/")
        if prefix:
            checked(prefix)
        from ._store_s3 import S3  # slow to import, and most runs don't need it

        return S3(parts.netloc, prefix, params)
    raise CachingError(f"store_url: {one_line(repr(url.rsplit('@', 1)[-1]), 80)} is not a store; use file:///directory or s3://bucket/prefix")
