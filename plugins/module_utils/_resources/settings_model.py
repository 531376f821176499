# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What run-time settings there are, what they must not say, and where configuration properties show them. Data and pure functions.

A setting is named ``section.option``, such as ``redis_pool.max_total``; a strategy ``strategies.<region>``.
"""

from __future__ import annotations

import difflib
import re
import typing as t
from decimal import Decimal

from .._duration import normal, parse
from .._errors import CachingError, one_line
from .._fields import canonical, same
from .._reconcile import Object


class Section(t.NamedTuple):
    """``options``: option → (name on the wire, kind). ``homes``: below what configuration properties hold it, without case and - _."""

    endpoint: str
    options: dict[str, tuple[str, str]]
    homes: tuple[str, ...]


_POOL = {
    "max_total": ("maxTotal", "integer"), "max_idle": ("maxIdle", "integer"), "min_idle": ("minIdle", "integer"),
    "test_on_borrow": ("testOnBorrow", "boolean"),
}
SECTIONS: dict[str, Section] = {
    "redis_connection": Section("redis_connection_settings", _POOL, ("connection",)),
    "redis_pool": Section(
        "connection_pool",
        {**_POOL, "test_while_idle": ("testWhileIdle", "boolean"), "time_between_eviction_runs": ("timeBetweenEvictionRuns", "duration")},
        ("pool", "poolconfig"),
    ),
    "redis_timeouts": Section(
        "timeouts", {"connection_timeout": ("connectionTimeout", "duration"), "socket_timeout": ("socketTimeout", "duration")},
        ("connectionconfig", "timeouts", "timeout"),
    ),
    "redis_memory": Section(
        "redis_memory_tuning",
        {
            "max_memory_policy": ("maxMemoryPolicy", "text"), "max_memory_samples": ("maxMemorySamples", "integer"),
            "compression_threshold": ("compressionThreshold", "integer"),
        },
        ("optimizememory", "memory"),
    ),
    "compression": Section("compression", {"enabled": ("enabled", "boolean"), "threshold": ("threshold", "integer")}, ("compression",)),
    "strategies": Section("caching_strategies", {}, ("strategies", "strategy")),
}
# Two names for what is one thing in most services (H15).
_TWINS = [*((f"redis_connection.{option}", f"redis_pool.{option}") for option in _POOL), ("compression.threshold", "redis_memory.compression_threshold")]
TWINS = {**dict(_TWINS), **{right: left for left, right in _TWINS}}
KINDS = {f"{section}.{option}": kind for section, about in SECTIONS.items() for option, (wire, kind) in about.options.items()}

# Which strategy may follow which. What write-behind has not written yet reaches the database for certain only through
# write-through; to enter write-behind, or to leave it for another one, needs approval.
_FREE = frozenset({"cache-aside", "read-through", "write-through", "write-around", "refresh-ahead"})
TRANSITIONS: dict[str, frozenset[str]] = {**{strategy: _FREE for strategy in _FREE}, "write-behind": frozenset({"write-behind", "write-through"})}
_BEHIND = "write-behind"

_LONGEST_TIMEOUT = 600
_POLICY = re.compile(r"noeviction|volatile-ttl|(allkeys|volatile)-(lru|lfu|lrm|random)")
_LEAST = {"max_total": 1, "max_idle": 0, "min_idle": 0, "max_memory_samples": 1, "compression_threshold": 0, "threshold": 0}
_MASKED = re.compile(r"\*+")
_ORDER = (("min_idle", "max_idle"), ("max_idle", "max_total"), ("min_idle", "max_total"))


def declared(params: t.Mapping[str, t.Any]) -> Object:
    """The options of the sections as one object of settings, each checked by itself."""
    want: Object = {}
    for section, about in SECTIONS.items():
        for option, value in (params.get(section) or {}).items():
            if value is not None:
                kind = about.options[option][1] if section != "strategies" else "text"
                want[f"{section}.{option}"] = _checked(f"{section}.{option}", option, kind, value)
    return want


def _checked(name: str, option: str, kind: str, value: t.Any) -> t.Any:
    if kind == "duration":
        seconds = parse(value, name)
        if not 0 < seconds <= _LONGEST_TIMEOUT and option != "time_between_eviction_runs":
            raise CachingError(
                f"{name}: {one_line(value, 40)} is {seconds} seconds; it must be more than 0 and at most {_LONGEST_TIMEOUT} "
                "(10000 milliseconds are PT10S)"
            )
        if seconds > 86400:
            raise CachingError(f"{name}: {one_line(value, 40)} is longer than a day (30000 milliseconds are PT30S)")
        if seconds * 1000 % 1:
            raise CachingError(f"{name}: {one_line(value, 40)} is finer than a millisecond")
        return normal(value, name)
    if kind == "text":
        text = str(value).strip().lower().replace("_", "-")
        if option == "max_memory_policy" and not _POLICY.fullmatch(text):
            raise CachingError(f"{name}: {one_line(repr(value), 60)} is no policy of Redis, such as allkeys-lru or noeviction")
        if not text or value is not None and not isinstance(value, str):
            raise CachingError(f"{name}: {one_line(repr(value), 60)} is no strategy; the known ones are {', '.join(sorted(TRANSITIONS))}")
        return text
    least = _LEAST.get(option)
    if least is not None and value < least:
        raise CachingError(f"{name}: it must be at least {least}, not {value}")
    return canonical(kind, value)


def contradiction(known: Object, touched: t.Collection[str]) -> str:
    """What of the settings together can't be meant, or nothing; looked at only where one of them is to change.

    ``known`` is what there would be, and may lack any of them.
    """
    for small, large in [
        *((f"{section}.{low}", f"{section}.{high}") for section in ("redis_connection", "redis_pool") for low, high in _ORDER),
        ("redis_timeouts.connection_timeout", "redis_timeouts.socket_timeout"),
    ]:
        low, high = _size(known.get(small)), _size(known.get(large))
        if low is not None and high is not None and low > high >= 0 and not {small, large}.isdisjoint(touched):
            return f"{small} {known[small]} is more than {large} {known[large]}"
    return ""


def dissent(want: Object, touched: t.Collection[str]) -> str:
    """What is declared twice and differently, or nothing (H15)."""
    for left, right in TWINS.items():
        if left in want and right in want and want[left] != want[right] and not {left, right}.isdisjoint(touched):
            return f"{left} says {want[left]} and {right} says {want[right]}: both set the same; give it once, or alike"
    return ""


def _size(value: t.Any) -> Decimal | None:
    """A number, or the seconds of a duration, to compare by."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        return parse(value)
    except CachingError:
        return None


def strategy_refusal(name: str, have: t.Any, want: str, known: t.Collection[str], durable: t.Collection[str], approved: bool) -> str:
    """Why the strategy of a region must not change as declared (H30c), or nothing. ``known``: what the service shows anywhere."""
    region = name.removeprefix("strategies.")
    if want not in TRANSITIONS and want not in known:
        near = difflib.get_close_matches(want, TRANSITIONS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the known ones are {', '.join(sorted(TRANSITIONS))}"
        return f"{name}: there is no strategy {one_line(want, 40)}; {hint}"
    if want == _BEHIND and region in durable:
        return f"{name}: {region} is durable, and write-behind loses what is not written yet when a process dies"
    if want == _BEHIND and have != _BEHIND and not approved:
        return f"{name}: write-behind loses what is not written yet when a process dies; allow_write_behind: true approves it"
    if have in TRANSITIONS and want in TRANSITIONS and want != _BEHIND and want not in TRANSITIONS[have] and not approved:
        ways = ", ".join(sorted(TRANSITIONS[have] - {have}))
        return f"{name}: from {have} to {want} may lose what is not written yet; go by {ways}, or approve it by allow_write_behind: true"
    return ""


def wire(section: str, values: Object) -> dict[str, t.Any]:
    """A section as it is sent; durations as milliseconds, as the guide has them."""
    options = SECTIONS[section].options
    result = {}
    for option, value in values.items():
        name, kind = options.get(option, (option, "text"))
        result[name] = int(parse(value) * 1000) if kind == "duration" else value
    return result


# ---- configuration properties


def flattened(body: t.Any, part: str = "properties") -> dict[tuple[str, ...], t.Any]:
    """Every value that configuration properties show, by its path. ``part``: properties, or inputs (what the files say)."""
    found: dict[tuple[str, ...], t.Any] = {}
    contexts = body.get("contexts") if isinstance(body, dict) else None
    for context in (contexts or {}).values() if isinstance(contexts, dict) else ():
        beans = context.get("beans") if isinstance(context, dict) else None
        for bean in (beans or {}).values() if isinstance(beans, dict) else ():
            if isinstance(bean, dict):
                _flatten(tuple(str(bean.get("prefix") or "").split(".")), bean.get(part), found)
    return found


def _flatten(path: tuple[str, ...], value: t.Any, found: dict[tuple[str, ...], t.Any]) -> None:
    """An empty object stays as ``path + ("",)``: it is shown, and nothing is in it."""
    if isinstance(value, dict) and "value" in value and "origin" in value:
        found[path] = value["value"]
    elif isinstance(value, dict):
        for name, inner in value.items():
            _flatten((*path, str(name)), inner, found)
        if not value:
            found[(*path, "")] = None
    else:
        found[path] = value


def _plain(word: str) -> str:
    return word.replace("-", "").replace("_", "").lower()


def place(section: str, paths: t.Iterable[tuple[str, ...]], given: t.Mapping[str, str]) -> tuple[str, ...] | None:
    """The path below which configuration properties show a section: as ``given``, else the likeliest, else None."""
    if section in given:
        return tuple(given[section].split(".")) if given[section] else None
    names = {_plain(name) for name, kind in SECTIONS[section].options.values()}
    likely = {
        path[:-1] for path in paths
        if len(path) > 1 and _plain(path[-2]) in SECTIONS[section].homes and (not names or _plain(path[-1]) in names)
        and any("cach" in _plain(part) or "redis" in _plain(part) for part in path[:-1])
    }
    return min(likely, key=lambda path: (path[0] == "spring", len(path), path)) if likely else None


def told(flat: t.Mapping[tuple[str, ...], t.Any], given: t.Mapping[str, str], homes: t.Iterable[tuple[str, ...]] | None = None) -> Object:
    """The settings that configuration properties show; what is masked or missing is left out."""
    result: Object = {}
    for section, about in SECTIONS.items():
        home = place(section, homes if homes is not None else flat, given)
        if home is None:
            continue
        wires = {_plain(name): (option, kind) for option, (name, kind) in about.options.items()}
        for path, value in flat.items():
            if _plain(".".join(path[:-1])) != _plain(".".join(home)) or value is None or isinstance(value, str) and _MASKED.fullmatch(value):
                continue
            option, kind = (path[-1], "text") if section == "strategies" else wires.get(_plain(path[-1]), ("", ""))
            if option:
                result[f"{section}.{option}"] = _read(kind, value)
    return result


def _read(kind: str, value: t.Any) -> t.Any:
    if kind == "duration" and (isinstance(value, (int, float)) and not isinstance(value, bool) or str(value).isdigit()):
        return normal(Decimal(str(value)) / 1000) if float(value) >= 0 else value
    return str(value).strip().lower().replace("_", "-") if kind == "text" else canonical(kind, value)


def not_persistent(want: Object, files: Object) -> list[str]:
    """The declared settings that the service's configuration files do not hold: nothing shows that they outlive a restart."""
    return sorted(name for name, value in want.items() if name not in files or not same(KINDS.get(name, "text"), files[name], value))


def nested(values: Object) -> dict[str, dict[str, t.Any]]:
    """Settings as modules return them: by section."""
    result: dict[str, dict[str, t.Any]] = {}
    for name in sorted(values):
        section, _dot, option = name.partition(".")
        if values[name] is not None:
            result.setdefault(section, {})[option] = values[name]
    return result
