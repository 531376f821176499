# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores that are killed, and that run while nodes fail over, in small; `make faults` kills as many as are wanted."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults import restores
from tests.faults.restores import Subject
from tests.harness import datasets
from tests.harness.modules import run_module


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> Iterator[Subject]:
    with restores.subject(tmp_path_factory.mktemp("kills")) as made:
        yield made


@pytest.mark.hazard("H39")
def test_a_killed_restore_is_finished_by_running_it_again(subject: Subject) -> None:
    trials = [subject.trial(seed, way_back=seed % 3 == 0) for seed in range(4)]
    while not any(trial.wrote and trial.resumed for trial in trials):   # a kill that hits nothing shows nothing
        assert len(trials) < 12
        trials.append(subject.trial(len(trials), way_back=True))
    assert [(trial.seed, trial.broken) for trial in trials if trial.broken] == []


def test_a_planted_loss_is_found(subject: Subject) -> None:
    """The control: a key that goes after the second run, and a record without its safety backup."""
    wanted = dict(subject.wanted)
    subject.wanted = {**wanted, b"planted": (b"string", [], -1)}
    try:
        assert "b'planted' is missing" in subject.trial(1).broken
    finally:
        subject.wanted = wanted


def test_nodes_fail_over_while_the_module_runs(subject: Subject) -> None:
    before = subject.prepare()
    victim = subject.target.primaries()[0]
    records = subject.records()

    def kill() -> None:
        while subject.records() == records:
            time.sleep(0.002)
        time.sleep(random.Random(3).uniform(0.0, subject.writing / 2))
        subject.target.kill(victim)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        done = run_module("redis_restore", {**subject.args, "wait_timeout": 30})
        killer.join()
        subject.target.start(victim)
        print("first run:", done.get("msg"), done.get("passes"))
        subject.target.until(subject.target.whole, "the target is not whole")
        if done.get("failed"):
            done = run_module("redis_restore", subject.args)
        assert not done.get("failed"), done
        subject.target.until(subject.target.whole, "the target is not whole")
        assert datasets.differences(subject.wanted, datasets.facts(subject.target)) == []
        back = run_module("redis_restore", {**subject.args, "id": done["safety_backup"], "safety_backup": False})
        assert not back.get("failed") and datasets.differences(restores.rough(before), restores.rough(datasets.facts(subject.target))) == []
    finally:
        killer.join()
