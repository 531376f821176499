# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cert-manager in the trial cluster, for the long trials that need it: its own controllers and definitions, without its webhook."""

from __future__ import annotations

import json
import shutil
import time
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.fleet import built
from tests.fleet.kubernetes import machine, objects, programs
from tests.fleet.kubernetes.layout import CERT_MANAGER_VERSION, State
from tests.fleet.local import processes
from tests.fleet.local.processes import FleetError

MODULE, NAME, USER = f"github.com/cert-manager/cert-manager@v{CERT_MANAGER_VERSION}", "certmanager", "trial-cert-manager"


def _definitions() -> Path:
    return programs.folder() / f"definitions-{CERT_MANAGER_VERSION}"


def _module(work: Path) -> None:
    """go.mod of the program, and the definitions that come with the module."""
    built.go(work, "mod", "init", "trial/certmanager")
    built.go(work, "get", MODULE)
    source = Path(json.loads(built.go(work, "mod", "download", "-json", MODULE))["Dir"])
    shutil.rmtree(_definitions(), ignore_errors=True)
    shutil.copytree(source / "deploy/crds", _definitions())


def program() -> Path:
    """Built once; some minutes."""
    return programs.made(NAME, CERT_MANAGER_VERSION, _module, {})


def _established(api: client.ApiClient, names: list[str]) -> bool:
    found = client.ApiextensionsV1Api(api)
    return all(any(one.type == "Established" and one.status == "True" for one in found.read_custom_resource_definition(name).status.conditions or ())
               for name in names)


@contextmanager
def cert_manager(state: State) -> Iterator[None]:
    """Definitions and controllers, for as long as the context lasts."""
    found, api = program(), objects.connect(state.kubeconfig())
    kinds: list[dict[str, t.Any]] = [yaml.safe_load(path.read_text()) for path in sorted(_definitions().glob("*.yaml"))]
    names = [one["metadata"]["name"] for one in kinds]
    objects.apply(api, kinds)
    try:
        deadline = time.monotonic() + 30
        while not _established(api, names):
            if time.monotonic() > deadline:
                raise FleetError("the definitions of cert-manager are not served after 30 s")
            time.sleep(0.2)
        machine.start(state, programs.programs(), NAME, [str(found), str(state.kubeconfig(USER))])
        machine.wait(state, NAME, "cert-manager", lambda: "started" in (state.logs / f"{NAME}.log").read_text())
        yield
    finally:
        processes.end([number for number in [machine.pid(state, NAME)] if number], patience=5)
        (state.run / f"{NAME}.pid").unlink(missing_ok=True)
        for name in names:
            with suppress(ApiException):
                client.ApiextensionsV1Api(api).delete_custom_resource_definition(name)
