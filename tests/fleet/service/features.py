# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Feature flags: list and set, for some regions and a share of the entries."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import model
from .control import FLAGS
from .errors import ApiError, Problems
from .lists import arranged
from .web import Service, object_of, text_of


def _shown(service: Service, name: str, state: dict[str, Any]) -> dict[str, Any]:
    result = {"name": name, **state}
    if not state["regions"] and service.dialect("null-fields"):
        result["regions"] = None
    elif not state["regions"] and service.dialect("absent-fields"):
        del result["regions"]
    return result


async def list_features(service: Service, request: Request) -> Response:
    await service.control.look()
    found = [_shown(service, name, state) for name, state in service.control.flags().items()]
    return JSONResponse(arranged(service, request, "features", found))


def _checked(name: str, body: dict[str, Any]) -> dict[str, Any]:
    given = {field: body[field] for field in ("enabled", "regions", "rolloutPercentage") if body.get(field) is not None}
    problems = Problems("feature")
    model.check_name(name, problems)
    if not isinstance(given.get("enabled", True), bool):
        problems.add("enabled", "must be true or false", given["enabled"])
    regions = given.get("regions", [])
    if not isinstance(regions, list) or not all(isinstance(region, str) and region for region in regions):
        problems.add("regions", "must be a list of regions", regions)
    share = given.get("rolloutPercentage", 0)
    if isinstance(share, bool) or not isinstance(share, int) or not 0 <= share <= 100:
        problems.add("rolloutPercentage", "must be a whole number from 0 to 100", share)
    problems.check()
    return given


async def put_feature(service: Service, request: Request) -> Response:
    """Replaces the flag: what is left out goes back to all regions and everybody. `put-merges` keeps it."""
    name = text_of(request, "name")
    given = _checked(name, await object_of(request))
    await service.control.look()
    former = service.control.flags().get(name)
    if former is None and service.dialect("fixed-features"):
        raise ApiError(404, f"Feature '{name}' does not exist")
    basis = former if former and service.dialect("put-merges") else {
        "enabled": former["enabled"] if former else FLAGS.get(name, {}).get("enabled", False),
        "regions": [], "rolloutPercentage": 100,
    }
    state = {**basis, **given}
    await service.control.write({f"feature:{name}": state}, shared=True)
    return JSONResponse(_shown(service, name, state))
