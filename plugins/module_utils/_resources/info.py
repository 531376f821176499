# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Everything that can be read of the service, by subset."""

from __future__ import annotations

import typing as t

from .._errors import CachingError, one_line
from .._reconcile import Object
from .._service import Service
from .regions import Regions, shown


class Reader:
    """The subsets of one run; the list of regions is read once, whatever needs it."""

    def __init__(self, service: Service, region: str | None) -> None:
        self.service = service
        self.region = region
        self._found: dict[str, Object] | None = None

    def _regions(self) -> dict[str, Object]:
        if self._found is None:
            found = Regions(self.service).read()
            if self.region is not None:
                if self.region not in found:
                    known = ", ".join(sorted(found)[:10]) or "none"
                    raise CachingError(f"region: there is no region {one_line(repr(self.region), 60)}; the service has {known}")
                found = {self.region: found[self.region]}
            self._found = found
        return self._found

    def regions(self) -> t.Any:
        return [shown(name, entry) for name, entry in sorted(self._regions().items())]

    def region_stats(self) -> t.Any:
        """One request for each region (S028)."""
        names = sorted(self._regions())
        return dict(zip(names, self.service.each(lambda name: self.service.call("region_stats", region=name).json(), names)))


SUBSETS: dict[str, t.Callable[[Reader], t.Any]] = {
    "regions": Reader.regions,
    "region_stats": Reader.region_stats,
}


def read(service: Service, subset: t.Sequence[str], region: str | None) -> dict[str, t.Any]:
    """The named subsets, a key each."""
    reader = Reader(service, region)
    return {name: SUBSETS[name](reader) for name in dict.fromkeys(subset)}
