# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the fleet, stop it, and say how it is."""

from __future__ import annotations

import json
import os
import sys
import typing as t

from tests.fleet import redis_nodes
from tests.fleet.compose import files
from tests.fleet.compose.layout import BRIDGE, COMPOSE_FILE, NETWORK_WHOLE, REDIS_NODES, REDIS_SERVICES, State, state
from tests.fleet.docker import engine as engines
from tests.fleet.docker.engine import Engine
from tests.fleet.docker.programs import programs
from tests.fleet.images import build as images
from tests.fleet.images.archive import ImageError
from tests.fleet.images.build import Built
from tests.fleet.images.catalogue import REDIS
from tests.fleet.local.lifecycle import locked
from tests.fleet.local.processes import FleetError


def engine_of(fleet: State) -> Engine:
    given = os.environ.get("DOCKER_HOST", "")
    if fleet.facts.exists():      # where it was started, whatever the environment says now
        address = json.loads(fleet.facts.read_text())["docker_host"]
        given = "" if address == f"unix://{fleet.engine / 'docker.sock'}" else address
    return Engine(fleet.engine, BRIDGE, NETWORK_WHOLE, programs(compose=True), given)


def compose(engine: Engine, fleet: State, *command: str, patience: float = 120, check: bool = True) -> str:
    return engine.docker("compose", "--project-directory", str(fleet.project), "-f", str(fleet.project / COMPOSE_FILE), *command,
                         patience=patience, check=check)


def containers(engine: Engine, fleet: State) -> list[dict[str, t.Any]]:
    """Those of the project, in the order of their names."""
    lines = compose(engine, fleet, "ps", "--all", "--format", "json", check=False).splitlines()
    return sorted((json.loads(line) for line in lines if line.startswith("{")), key=lambda one: one["Name"])


def start(fleet: State, engine: Engine, built: Built) -> None:
    redis_image = next(name for name in built.names["redis"] if name.startswith(f"{REDIS}:"))
    files.project(fleet, redis_image.rpartition(":")[2])
    engine.up()
    engine.load(built.archives)
    compose(engine, fleet, "up", "--detach", "--pull", "never", *REDIS_SERVICES)
    password = fleet.secret("redis_password")

    def tool(arguments: t.Sequence[str]) -> str:
        inside = ("sh", "-c", 'REDISCLI_AUTH=$REDIS_PASSWORD exec redis-cli "$@"', "redis-cli")
        return compose(engine, fleet, "exec", "-T", REDIS_SERVICES[0], *inside, *arguments)

    redis_nodes.form(REDIS_NODES, password, tool)
    compose(engine, fleet, "up", "--detach", "--pull", "never", "--wait", "--wait-timeout", "60")
    files.describe(fleet, engine)       # last: where these files are, the fleet was complete once


def remove(fleet: State, engine: Engine) -> None:
    if engine.given:
        if (fleet.project / COMPOSE_FILE).exists():
            compose(engine, fleet, "down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)
    else:
        engine.down()
    engines.remove(fleet.folder)


def build() -> Built:
    """What has to be made once; only this needs the network."""
    try:
        programs(compose=True)
        return images.build()
    except ImageError as error:
        raise FleetError(str(error)) from error


def up() -> bool:
    """Start the fleet; False if it is running already."""
    fleet = state()
    built = build()
    with locked():
        engine = engine_of(fleet)
        if fleet.facts.exists() and engine.answers():
            return False
        if fleet.folder.exists():
            print("fleet: removing what an earlier fleet left behind", file=sys.stderr)
            remove(fleet, engine)
            engine = engine_of(fleet)
        try:
            start(fleet, engine, built)
        except BaseException:
            if not os.environ.get("EXALT_FLEET_KEEP"):
                remove(fleet, engine)
            raise
        return True


def down() -> bool:
    """Stop the fleet and remove every trace; False if there was nothing."""
    fleet = state()
    with locked():
        if not fleet.folder.exists():
            return False
        remove(fleet, engine_of(fleet))
        return True


def report() -> list[tuple[str, str, str]]:
    """Name, image and state of each container."""
    fleet = state()
    if not fleet.facts.exists():
        return []
    return [(one["Name"], one["Image"], ", ".join(part for part in (one["State"], one["Health"]) if part))
            for one in containers(engine_of(fleet), fleet)]
