# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which file of a backup goes to which node, by ranges of slots and never by numbers (H43), and what its nodes must be like. Pure functions."""

from __future__ import annotations

import typing as t

from ._errors import one_line

Ranges = tuple[tuple[int, int], ...]
SETTINGS = ("dir", "dbfilename", "appendonly", "appenddirname", "appendfilename", "save")
_APPENDS_BY_PARTS = (7, 0)


def parsed(text: str) -> Ranges:
    """``0-5460,5462`` as ranges."""
    pairs = (part.partition("-") for part in text.split(","))
    return tuple((int(first), int(last or first)) for first, _dash, last in pairs)


def joined(ranges: t.Iterable[tuple[int, int]]) -> Ranges:
    """The same slots in one form: sorted, and neighbours in one range."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first == found[-1][1] + 1:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return tuple(found)


def owners(sources: t.Iterable[str], primaries: t.Mapping[str, Ranges]) -> tuple[dict[str, str], list[str]]:
    """Address of the primary that owns exactly the slots of each source (by its name), or why there is none."""
    by_slots = {joined(ranges): address for address, ranges in primaries.items() if ranges}
    wanted = {name: joined(parsed(name)) for name in sources}
    found = {name: by_slots[ranges] for name, ranges in wanted.items() if ranges in by_slots}
    strange = [name for name in wanted if name not in found]
    if strange:
        now = "; ".join(f"{address} has {told(ranges)}" for ranges, address in sorted(by_slots.items()))
        return found, [f"the backup has the slots {', '.join(strange)} in one file, and no primary has exactly these now ({now}): use mode replay, "
                       "which fits any layout"]
    left = [address for ranges, address in by_slots.items() if ranges not in wanted.values()]
    return found, [f"{address} owns slots that the backup does not have: use mode replay" for address in left]


def told(ranges: Ranges) -> str:
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def unfit(settings: t.Mapping[str, t.Mapping[str, str]], versions: t.Mapping[str, tuple[str, tuple[int, int]]]) -> list[str]:
    """Why files can't be put under nodes with these settings and versions."""
    problems = []
    for address, found in sorted(settings.items()):
        missing = [name for name in SETTINGS if name not in found and not (name == "appenddirname" and found.get("appendonly") == "no")]
        flavour, version = versions.get(address, ("redis", (0, 0)))
        if version < _APPENDS_BY_PARTS and flavour == "redis":
            problems.append(f"{address} is {flavour} {version[0]}.{version[1]}: a restore from files needs 7.0 or newer")
        elif missing:
            problems.append(f"{address} does not tell {', '.join(missing)} (CONFIG GET)")
        elif not found["dir"].startswith("/"):
            problems.append(f"{address} has its data in {one_line(found['dir'], 60)}, which is no path from the root")
    return problems


def astray(slots: t.Collection[int], seen: t.Mapping[int, bytes], name: str) -> list[str]:
    """Keys in a file that don't belong to its slots: ``seen`` is a key for each slot that occurred."""
    wrong = sorted(set(seen) - set(slots))
    if not wrong:
        return []
    key = one_line(repr(seen[wrong[0]].decode("utf-8", "backslashreplace")), 60)
    return [f"the shard {name} of the backup has keys of {len(wrong)} other slots ({key} is of slot {wrong[0]}): use mode replay"]
