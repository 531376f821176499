# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups under faults in small, and the positive controls of their judge. `make faults` makes as many as are wanted."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from tests.faults.backups import CLUSTER, DIRECTORY_FAULTS, S3_FAULTS, Subject, subject


@pytest.fixture(scope="module")
def in_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with subject(tmp_path_factory.mktemp("backups")) as found:
        yield found


@pytest.fixture(scope="module")
def in_s3(fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with subject(tmp_path_factory.mktemp("backups"), {**fleet.store_args, "store_url": f"s3://exalt-cache-backups/test-{secrets.token_hex(6)}"}) as found:
        yield found


@pytest.mark.hazard("H31", "H34", "H35")
@pytest.mark.parametrize("fault", DIRECTORY_FAULTS)
def test_a_fault_leaves_the_last_good_backup_or_a_new_one(in_directory: Subject, fault: str) -> None:
    trial = in_directory.trial(fault, 1)
    assert trial.broken == [], trial


@pytest.mark.hazard("H35")
@pytest.mark.parametrize("fault", S3_FAULTS)
def test_a_fault_of_the_store(in_s3: Subject, fault: str) -> None:
    trial = in_s3.trial(fault, 1)
    assert trial.broken == [], trial


def write(subject: Subject) -> None:
    """The data changes; put right again for the next trial."""
    subject.scratch.cluster().set("planted", "x")


def rot(subject: Subject) -> None:
    for path in (subject.folder / "store/backups" / CLUSTER).glob("*/shard-*"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")


def switch(subject: Subject) -> None:
    for node in subject.scratch.nodes:
        subject.scratch.client(node).config_set("rdbcompression", "no")


@pytest.mark.parametrize(("plant", "told"), [
    (write, "the data of the cluster is not what it was"), (rot, "the newest verified is None"), (switch, "left: rdbcompression of"),
])
def test_a_planted_violation_is_found(in_directory: Subject, plant: Callable[[Subject], None], told: str) -> None:
    try:
        trial = in_directory.trial("two-runs", 2, plant)
        assert any(told in text for text in trial.broken), trial.broken
    finally:
        in_directory.scratch.cluster().delete("planted")
        for node in in_directory.scratch.nodes:
            in_directory.scratch.client(node).config_set("rdbcompression", "yes")
        in_directory.scratch.until(in_directory.scratch.whole, "not whole")
