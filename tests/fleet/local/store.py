# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the S3 service of the local fleet, and make its bucket."""

from __future__ import annotations

import json
import time
import typing as t
import urllib.request
from collections.abc import Callable

from tests.fleet.local.layout import STORE, State
from tests.fleet.local.processes import FleetError


def client(state: State) -> t.Any:
    """A client of the S3 service, with the fleet's own key."""
    import boto3
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5, s3={"addressing_style": "path"})
    return boto3.client("s3", endpoint_url=STORE.url, region_name="us-east-1", config=config,
                        aws_access_key_id=state.secret("store_access_key"),
                        aws_secret_access_key=state.secret("store_secret_key"))


def _wait(what: str, reached: Callable[[], bool], deadline: float) -> None:
    seen = "not yet"
    while True:
        try:
            if reached():
                return
        except Exception as error:      # of any library, while it starts
            seen = str(error)
        if time.monotonic() > deadline:
            raise FleetError(f"{what}: {seen[:200]}")
        time.sleep(0.05)


def start(state: State, run: Callable[[str], object], patience: float = 20.0) -> None:
    """The others find the master only if it leads already when they start; otherwise they wait for 5 s."""
    deadline = time.monotonic() + patience

    def leads() -> bool:
        with urllib.request.urlopen(f"http://{STORE.host}:{STORE.master_port}/cluster/status", timeout=2) as answer:
            return bool(json.load(answer).get("IsLeader"))

    _wait("the master of the store does not lead", leads, deadline)
    for name in STORE.programs[1:]:
        run(name)
    s3 = client(state)

    def made() -> bool:
        try:
            s3.create_bucket(Bucket=STORE.bucket)
        except (s3.exceptions.BucketAlreadyExists, s3.exceptions.BucketAlreadyOwnedByYou):
            pass
        s3.put_object(Bucket=STORE.bucket, Key=".ready", Body=b"x")
        s3.delete_object(Bucket=STORE.bucket, Key=".ready")
        return True

    _wait(f"the bucket {STORE.bucket} can't be written to", made, deadline)
