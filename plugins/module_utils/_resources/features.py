# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Feature flags (S024 to S026): how they are read and written."""

from __future__ import annotations

import typing as t

from .._errors import ApiError, CachingError, one_line
from .._fields import canonical
from .._reconcile import Change, Object
from .._service import Service, segment
from .regions import Regions, check_name

# option: (name on the wire, kind)
FIELDS = {
    "enabled": ("enabled", "boolean"),
    "regions": ("regions", "set"),
    "rollout_percentage": ("rolloutPercentage", "integer"),
}
KINDS = {option: kind for option, (wire, kind) in FIELDS.items()}
_NAMES = ("name", "feature", "featureName", "flag", "id", "key")


def declared(features: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, Object]:
    """The option ``features`` as objects by name."""
    result: dict[str, Object] = {}
    for given in features:
        name = given["name"]
        try:
            segment(name)
        except (CachingError, UnicodeEncodeError):
            name = ""
        if not name.strip() or any(ord(character) < 32 for character in name) or len(name) > 256:
            raise CachingError(f"features: {one_line(ascii(given['name']), 60)} can't be the name of a feature flag")
        if name in result:
            raise CachingError(f"features: {name} is declared twice")
        percentage = given.get("rollout_percentage")
        if percentage is not None and not 0 <= percentage <= 100:
            raise CachingError(f"features: rollout_percentage of {name} goes from 0 to 100, not {percentage}")
        for region in given.get("regions") or []:
            check_name(region, f"features: regions of {name}")
        result[name] = {option: canonical(kind, given[option]) for option, kind in KINDS.items() if given.get(option) is not None}
        if not result[name]:
            raise CachingError(f"features: {name} declares nothing; give enabled, regions or rollout_percentage")
    return result


class Features:
    """The feature flags of a service, for the reconciler."""

    kind = "feature flag"

    def __init__(self, service: Service) -> None:
        self.service = service
        self.concurrency = service.concurrency
        self.fields: dict[str, str] = dict(KINDS)

    def read(self) -> dict[str, Object]:
        return parsed(self.service.listing("list_features", "features"))

    def guard(self, changes: list[Change]) -> None:
        """A flag for a region that does not exist would be on for nothing."""
        named = {region: change.name for change in changes if "regions" in change.fields for region in change.want["regions"]}
        if not named:
            return
        known = Regions(self.service).read()
        missing = sorted(set(named) - set(known))
        if missing:
            raise CachingError(
                f"features: regions of {named[missing[0]]}: there is no region {', '.join(missing[:5])} "
                f"(the service has {', '.join(sorted(known)[:10]) or 'none'}); nothing was changed"
            )

    def write(self, change: Change) -> bool:
        """The whole flag, as a PUT may reset what it is not told (H14)."""
        kept = {field: value for field, value in change.have.items() if value is not None}
        body = {FIELDS[field][0]: value for field, value in {**kept, **change.want}.items()}
        try:
            return self.service.call("set_feature", body, name=change.name).status == 202
        except ApiError as error:
            if error.status == 404 and change.action == "create":
                raise CachingError(f"the service does not know this flag and makes no new ones: {error.detail}") from None
            raise


def parsed(answers: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, Object]:
    """The service's list in the options' words. No regions and no list of them are the same, where lists are shown at all."""
    shows_regions = any("regions" in answer for answer in answers)
    found: dict[str, Object] = {}
    for answer in answers:
        name = next((answer[key] for key in _NAMES if isinstance(answer.get(key), str)), None)
        if name is None:
            raise CachingError(f"the list of features holds one without a name: {one_line(answer, 120)}")
        entry = {option: canonical(kind, answer.get(wire)) for option, (wire, kind) in FIELDS.items()}
        if shows_regions and entry["regions"] is None:
            entry["regions"] = []
        found[name] = entry
    return found


def shown(name: str, entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A flag as modules return it."""
    return {"name": name, **{option: entry.get(option) for option in FIELDS}}
