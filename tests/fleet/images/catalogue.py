# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images there are: two good versions of the service and of each Redis, broken ones, and the runner.

Versions and broken ones differ by their environment only: they share all layers, so they cost nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tests.fleet import paths
from tests.fleet.images.archive import Image

SERVICE, REDIS, VALKEY, RUNNER, PAUSE = "exalt/caching-service", "exalt/redis", "exalt/valkey", "exalt/caching-runner", "exalt/pause"
SERVICE_VERSIONS = ("2.4.0", "2.5.0")
SERVICE_FAULTS = ("never-ready", "flapping", "fails-later", "crash-loop", "wrong-answers", "slow", "bad-smoke",
                  "incompatible")
REDIS_FAULTS = ("never-ready", "fails-later", "crash-loop", "wrong-answers", "slow")
APPLICATION_USER, REDIS_USER = 1000, 999
SERVICE_PACKAGES = ("starlette", "orjson", "redis", "uvicorn", "httptools", "uvloop", "pyyaml")
PYTHON_ENVIRONMENT = {
    "PATH": "/opt/python/bin:/usr/local/bin:/usr/bin", "PYTHONHOME": "/opt/python", "LANG": "C.UTF-8", "HOME": "/tmp",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def runner_packages() -> list[str]:
    """What the modules import where they run."""
    lines = (paths.ROOT / "meta/ee-requirements.txt").read_text().splitlines()
    return [re.split(r"[<>=!~ ;#]", line)[0] for line in lines if line and not line.startswith("#")]


def service(layers: Iterable[Path]) -> list[Image]:
    def image(tag: str, fault: str) -> Image:
        environment = {**PYTHON_ENVIRONMENT, "PYTHONPATH": "/app:/opt/site", "CACHING_VERSION": tag,
                       **({"EXALT_FAULT": fault} if fault else {})}
        return Image(f"{SERVICE}:{tag}", tuple(layers), ("python3", "-m", "tests.fleet.images.content.start_service"), environment,
                     str(APPLICATION_USER), {"org.opencontainers.image.version": tag}, (8403, 8404, 8443), "/app")

    newest = SERVICE_VERSIONS[-1]
    return [image(tag, "") for tag in SERVICE_VERSIONS] + [image(f"{newest}-{fault}", fault) for fault in SERVICE_FAULTS]


def runner(layers: Iterable[Path], version: str) -> Image:
    environment = {**PYTHON_ENVIRONMENT, "PYTHONPATH": "/opt/site"}
    return Image(f"{RUNNER}:{version}", tuple(layers), ("sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"),
                 environment, str(APPLICATION_USER), {"org.opencontainers.image.version": version}, (), "/tmp")


def redis(name: str, layers: Iterable[Path], version: str) -> list[Image]:
    def image(tag: str, fault: str) -> Image:
        environment = {"PATH": "/usr/local/bin:/usr/bin", "REDIS_VERSION": version, **({"EXALT_FAULT": fault} if fault else {})}
        return Image(f"{name}:{tag}", tuple(layers), ("/usr/local/bin/start-redis",), environment, str(REDIS_USER),
                     {"org.opencontainers.image.version": tag}, (6379, 16379), "/var/lib/redis")

    good = [image(version, ""), image(f"{version}-2", "")]
    return good + ([image(f"{version}-{fault}", fault) for fault in REDIS_FAULTS] if name == REDIS else [])


def pause(layers: Iterable[Path]) -> Image:
    """What holds the namespaces of a pod."""
    return Image(f"{PAUSE}:1", tuple(layers), ("/usr/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done"),
                 {"PATH": "/usr/bin"}, "65535")
