# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates of the service in which something goes wrong, under clients that write and read all the time; on any platform (H27, H28).

Held is a trial when it ended as it had to (a good version is out, a bad one was taken back or touched nothing, a run that was killed was finished by
the next one), all instances run one version and are well, no acknowledged write was lost, and no request failed, but where a bad version answered it
or a primary of Redis was killed.
"""

from __future__ import annotations

import random
import time
import typing as t
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.harness.continuous import Clients
from tests.harness.matrix import Platform
from tests.harness.plays import Outcome, at, kill_tree
from tests.harness.until import until

QUICK = {"caching_soak": "PT0S", "caching_update_backup_age": "", "caching_platform_timeout": "PT60S", "caching_health_timeout": "PT30S",
         "caching_lock_ttl": "PT60S", "caching_lock_wait": "PT90S"}
REGION = {"name": "updates", "default_ttl": "PT2H", "max_size": 100000}
# What a run says just before it is killed
MOMENTS = (("Record: started", 1), ("Write the revision", 1), ("Batch 1", 1), ("Its health", 1), ("Batch 2", 1), ("Batch 3", 1), ("The smoke test", 1),
           ("Record: updated", 1))
# fault of a version -> what is said of it, and whether it is found only when it was touched
FAULTS = {
    "never-ready": ("", True), "flapping": ("", True), "crash-loop": ("", True), "fails-later": ("", True), "bad-smoke": ("the entry that was written", True),
    "wrong-answers": ("wrote 'smoke', read 'wrong'", True), "incompatible": ("this version needs Redis 8", False),
}
KINDS = ("good", "killed", *FAULTS, "primary killed")
UNHARMED = ("good", "killed", "never-ready", "crash-loop", "bad-smoke", "incompatible")     # nobody should have noticed these


@dataclass
class Trial:
    """How one update went; `longest`: milliseconds between two answers of one client."""

    kind: str
    seed: int
    platform: str
    moment: str = ""
    ended: str = ""
    seconds: float = 0.0
    answered: int = 0
    failed: int = 0
    lost: int = 0
    longest: float = 0.0
    broken: list[str] = field(default_factory=list)


def prepare(platform: Platform) -> None:
    """Where the clients write."""
    done = platform.play("configure", caching_regions=[REGION])
    if done.rc:
        raise AssertionError(done.stdout)


def trial(platform: Platform, kind: str, seed: int, plant: Callable[[Clients], t.Any] | None = None) -> Trial:
    """`plant`: what the judge has to find."""
    chance = random.Random(f"{kind} {seed}")
    made = Trial(kind, seed, platform.name)
    before, began = platform.members(), time.monotonic()
    with Clients(platform.addresses, platform.token("api_token"), REGION["name"]) as clients:
        done = _update(platform, made, chance)
        made.seconds = round(time.monotonic() - began, 1)
        if plant:
            plant(clients)
    told = clients.told()
    made.answered, made.failed, made.lost, made.longest = told.answered, len(told.failed), len(told.lost), round(told.longest, 1)
    good = kind in ("good", "killed") or (kind == "primary killed" and not done.rc)
    _judge(platform, made, done, good, set(before.values()))
    if kind in UNHARMED:    # without a balancer a connection that is made at the moment at which an instance stops is reset
        made.broken += [text for text in told.failed if platform.balanced or "ConnectionReset" not in text and "RemoteDisconnected" not in text][:3]
    if kind != "primary killed":
        made.broken += told.lost[:3]
    if good:
        back = platform.play("rollback", **platform.store(), **QUICK)
        if back.rc or platform.versions() != {platform.older}:
            made.broken.append(f"rollback: {back.rc}, {platform.versions()}: {back.stdout[-1500:]}")
    return made


def _update(platform: Platform, made: Trial, chance: random.Random) -> Outcome:
    wanted = {**platform.store(), **QUICK, **(platform.faulty(made.kind) if made.kind in FAULTS else {"caching_version": platform.newer})}
    if made.kind == "fails-later":
        wanted["caching_soak"] = "PT12S"
    if made.kind == "primary killed":
        with at(f"Batch {chance.randint(1, 3)}", 1, lambda _process: platform.lose_redis()):
            return platform.play("update", **wanted)
    if made.kind == "killed":
        text, number = chance.choice(MOMENTS)
        made.moment = text
        with at(text, number, kill_tree) as moment:
            platform.play("update", **wanted)
        if not moment.seen:
            made.broken.append(f"it ended before it said '{text}'")
        platform.unlock()
    return platform.play("update", **wanted)


def _judge(platform: Platform, made: Trial, done: Outcome, good: bool, before: set[str]) -> None:
    said = " ".join(done.stdout.split())
    why, touched = FAULTS.get(made.kind, ("", True))
    told = {"taken back": "the update failed and was taken back", "refused": "nothing was touched"}
    made.ended = "updated" if not done.rc else next((ended for ended, text in told.items() if text in said), "?")
    wanted = {"updated"} if good else {"taken back"} if touched else {"refused"}
    if made.ended not in wanted or why not in said:
        made.broken.append(f"{made.ended}: {done.stdout[-2500:]}")
    if made.ended == "refused" and set(platform.members().values()) != before:
        made.broken.append("nothing was touched, and yet there are other members")
    if platform.versions() != {platform.newer if good else platform.older} or platform.instances() != 3:
        made.broken.append(f"{platform.instances()} instances of {platform.versions()}")
    try:
        until(lambda: platform.play("status").rc == 0, "a good status", 60)
    except TimeoutError as error:
        made.broken.append(str(error))


def trials(platform: Platform, rounds: int, first: int, kinds: t.Sequence[str] = KINDS) -> list[Trial]:
    found = []
    prepare(platform)
    for seed in range(first, first + rounds):
        for kind in kinds:
            one = trial(platform, kind, seed)
            found.append(one)
            print(f"update {platform.name} {kind} {one.moment} seed {seed}: {one.ended}, {one.seconds} s, {one.answered} answered, {one.failed} failed, "
                  f"{one.lost} lost, longest {one.longest} ms", flush=True)
            for text in one.broken:
                print(f"not held: update {platform.name} {kind} {one.moment} seed {seed}: {text}", flush=True)
    return found


def table(found: list[Trial]) -> str:
    lines = [f"{'updates':<16}{'trials':>7}{'requests':>10}{'failed':>8}{'lost':>6}{'longest':>10}{'taken back':>12}{'held':>6}{'seconds':>9}"]
    for kind in KINDS:
        those = [one for one in found if one.kind == kind]
        if those:
            lines.append(f"{kind:<16}{len(those):>7}{sum(one.answered for one in those):>10}{sum(one.failed for one in those):>8}"
                         f"{sum(one.lost for one in those):>6}{max(one.longest for one in those):>7.0f} ms"
                         f"{sum(one.ended == 'taken back' for one in those):>12}{sum(not one.broken for one in those):>6}"
                         f"{max(one.seconds for one in those):>9.0f}")
    return "\n".join(lines)
