# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of a fleet with TLS everywhere are rotated, and the run is killed at some moment, under clients that verify (F11, H54).

Held is a rotation when no handshake of Python (strict), OpenSSL or a JVM failed. Held is a kill when the next run reaches the goal, the one after
it changes nothing, and no handshake failed in between.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import process
from tests.harness.handshakes import REDIS, SERVICE, Handshakes, OpenSsl, java
from tests.harness.plays import CONFIG, play
from tests.harness.second_fleet import SecondFleet, second_fleet
from tests.harness.tls_parties import has_java
from tests.harness.warm_plays import Parent

NETWORK = "127.0.10"
PASSWORD = "for trials only"
PLACES = 10


@dataclass
class Result:
    rotations: int = 0
    handshakes: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    killed: int = 0
    converged: int = 0
    seconds: list[float] = field(default_factory=list)


class Rotations:
    def __init__(self, fleet: SecondFleet) -> None:
        self.fleet, self.known = fleet, fleet.known
        authority = Path(self.known["authority"]).parent / "own-authority"
        self.ca = {"path": str(authority), "passphrase": PASSWORD}
        self.result = Result()
        self.so_far: t.Callable[[], tuple[t.Any, ...]] = tuple

    def variables(self, **more: t.Any) -> dict[str, t.Any]:
        return {"caching_store_url": "", "caching_certificates": {"client": {"keystore_password": PASSWORD}}, "caching_ca": self.ca, **more}

    def run(self, **more: t.Any) -> t.Any:
        return play("certificates", self.known["inventory"], extra_vars=self.variables(**more), timeout=900)

    def killed(self, after: float, **more: t.Any) -> bool:
        """Whether the run was still at work when it was killed, with all that it had started."""
        words = [str(Path(sys.executable).parent / "ansible-playbook"), "exalt.caching.certificates", "-i", self.known["inventory"],
                 "-e", json.dumps(self.variables(**more))]
        environment = Parent.settings(process.environment({"ANSIBLE_CONFIG": str(CONFIG)}))
        with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              stdin=subprocess.DEVNULL, start_new_session=True) as going:
            try:
                going.wait(after)
                return False
            except subprocess.TimeoutExpired:
                os.killpg(going.pid, signal.SIGKILL)
                return True

    @contextlib.contextmanager
    def clients(self, folder: Path) -> Iterator[None]:
        services = {one["tls_url"].removeprefix("https://"): SERVICE for one in self.known["instances"]}
        endpoints = services | dict.fromkeys(self.known["redis_nodes"], REDIS)
        shown = Path(self.known["certificates"]["operator"])
        with contextlib.ExitStack() as stack:
            strict = stack.enter_context(Handshakes(shown, endpoints))
            command = stack.enter_context(OpenSsl(shown, dict(list(endpoints.items())[:4]), pause=1.0))
            lines = stack.enter_context(java(shown, PASSWORD, endpoints, folder)) if has_java() else []
            self.so_far = lambda: (strict.done, command.done, len(lines), [*strict.failures, *command.failures])
            yield
        machine = [line for line in lines if line != "ok"]
        self.result.handshakes = {"python": strict.done, "openssl": command.done, "java": len(lines) - len(machine)}
        self.result.failed = [*strict.failures, *(f"openssl {line}" for line in command.failures), *(f"java {line}" for line in machine)]


def trials(rotations: int, kills: int, seed: int) -> Result:
    """At least as many rotations of a certificate, then as many runs that are killed while another authority comes."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as place, second_fleet(Path(place), NETWORK) as fleet:
        trial = Rotations(fleet)
        first = trial.run()
        assert first.rc == 0, first.stdout[-3000:]
        with trial.clients(Path(place)):
            while trial.result.rotations < rotations:
                began = time.monotonic()
                done = trial.run(caching_certificates_renew=True)
                assert done.rc == 0, done.stdout[-3000:]
                trial.result.rotations += PLACES
                trial.result.seconds.append(round(time.monotonic() - began, 1))
            print(f"certificates: {trial.result.rotations} rotations, a run of {PLACES} takes {trial.result.seconds} s; handshakes of Python, "
                  f"openssl, Java, and what failed: {trial.so_far()}", flush=True)
            usual = trial.result.seconds[-1] if trial.result.seconds else 60.0
            for number in range(kills):
                trial.ca = {**trial.ca, "name": f"authority-{number % 2}"}
                trial.result.killed += trial.killed(chance.uniform(0.1, 1.6) * usual)
                good, again = trial.run(), trial.run()
                held = good.rc == 0 and again.rc == 0 and again.changed == 0
                trial.result.converged += held
                if not held:
                    trial.result.failed.append(f"kill {number}: {(good if good.rc else again).stdout[-500:]}")
                print(f"certificates: killed {number + 1} of {kills}: {'converged' if held else 'not held'}; {trial.so_far()}", flush=True)
        return trial.result
