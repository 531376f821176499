# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores to try: a directory, the fleet's S3 service, and the same behind a proxy that breaks things."""

from __future__ import annotations

import secrets
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._store import Store, open_store

from tests.harness.s3_proxy import PASSING, Fault, S3Proxy
from tests.harness.targets import Fleet

Options = dict[str, t.Any]


@pytest.fixture
def s3_options(fleet: Fleet) -> Iterator[Options]:
    """Options of a store of its own in the fleet's bucket; it is emptied afterwards."""
    options = {**fleet.store_args, "store_url": f"s3://exalt-cache-backups/test-{secrets.token_hex(6)}"}
    yield options
    store = open_store(options)
    for entry in store.entries(""):
        store.delete(entry.name)
    for leftover in store.leftovers(""):
        store.discard(leftover)


@pytest.fixture
def s3_proxy(fleet: Fleet) -> Iterator[S3Proxy]:
    with S3Proxy(fleet.store_args["store_endpoint_url"], seed=1) as proxy:
        yield proxy


@pytest.fixture(params=["directory", "s3", "faulty"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> Options:
    """Options of a store: in a directory, in S3, and in S3 with every fifth call broken in some way that may pass."""
    if request.param == "directory":
        return {"store_url": f"file://{tmp_path}/store"}
    options: Options = dict(request.getfixturevalue("s3_options"))
    if request.param == "faulty":
        proxy: S3Proxy = request.getfixturevalue("s3_proxy")
        proxy.break_with(*(Fault(kind, chance=0.2 / len(PASSING)) for kind in PASSING))
        options["store_endpoint_url"] = proxy.url
    return options


@pytest.fixture
def store(options: Options) -> Store:
    return open_store(options)


@pytest.fixture
def broken(s3_options: Options, s3_proxy: S3Proxy) -> Callable[..., Store]:
    """`broken(Fault("500", "UploadPart"), timeout=5)`: the S3 store with these faults."""
    def make(*faults: Fault, timeout: float = 10) -> Store:
        found = open_store({**s3_options, "store_endpoint_url": s3_proxy.url, "store_timeout": timeout})
        s3_proxy.break_with(*faults)
        return found

    return make
