# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The service's application.yml as structure: merged, compared key by key, and its versions. Pure functions on data."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import typing as t

from ._errors import CachingError
from ._redact import is_secret, redacted

Tree = t.Dict[str, t.Any]
JVM = "JAVA_OPTS"
_MASKED = re.compile(r"\*+")     # what Spring Boot 3 shows of every value by default


class Revision(t.NamedTuple):
    """What was in force from ``written`` on (ISO-8601 in UTC; empty: it was found there); ``back``: it was brought back as the previous one."""

    version: int
    written: str
    text: str
    jvm: str
    back: bool = False


def canonical(key: str) -> str:
    """Spring takes max-total, max_total and maxTotal for the same."""
    return key if key.startswith("[") else key.replace("-", "").replace("_", "").lower()


def nested(tree: t.Any) -> t.Any:
    """Dotted keys as what they mean; a key in brackets stays as it is."""
    if isinstance(tree, list):
        return [nested(entry) for entry in tree]
    if not isinstance(tree, dict):
        return tree
    result: Tree = {}
    for key, value in tree.items():
        first, dot, rest = str(key).partition(".") if "[" not in str(key) else (str(key), "", "")
        result = merged(result, {first: nested({rest: value} if dot else value)}, removes=False)
    return result


def merged(present: Tree, wanted: Tree, removes: bool = True) -> Tree:
    """``present`` with what is wanted; null removes a key. Other keys, their order and their spelling stay."""
    result = dict(present)
    spelled = {canonical(key): key for key in result}
    for key, value in wanted.items():
        known = spelled.setdefault(canonical(key), key)
        if value is None and removes:
            result.pop(known, None)
        elif isinstance(value, dict) and (removes or isinstance(result.get(known), dict)):
            below = result.get(known)
            result[known] = merged(below if isinstance(below, dict) else {}, value, removes)
        else:
            result[known] = value
    return result


def flat(tree: t.Any, prefix: str = "") -> dict[str, t.Any]:
    """Every value by its whole name; a list is one value."""
    if not isinstance(tree, dict):
        return {prefix.removesuffix("."): tree} if prefix else {}
    return {name: value for key, part in tree.items() for name, value in flat(part, f"{prefix}{key}.").items()}


def differences(before: Tree, after: Tree) -> dict[str, tuple[t.Any, t.Any]]:
    """Whole names whose values differ, spelled as in ``after``; None: not there."""
    old = {canonical(name): (name, value) for name, value in flat(nested(before)).items()}
    new = {canonical(name): (name, value) for name, value in flat(nested(after)).items()}
    found = {}
    for key in sorted(old.keys() | new.keys()):
        values = (old.get(key, ("", None))[1], new.get(key, ("", None))[1])
        if values[0] != values[1] or isinstance(values[0], bool) != isinstance(values[1], bool):
            found[(new.get(key) or old[key])[0]] = values
    return found


def is_live(key: str, patterns: t.Iterable[str]) -> bool:
    """Whether a refresh applies this key."""
    return any(fnmatch.fnmatchcase(canonical(key), canonical(pattern)) for pattern in patterns)


def shown(key: str, value: t.Any) -> str:
    """A value as it is told: of a secret a digest, and without what is secret within it."""
    if value is None:
        return "unset"
    if any(is_secret(part) for part in key.split(".")):
        return f"(secret {hashlib.sha256(json.dumps(value, ensure_ascii=False, default=str).encode()).hexdigest()[:8]})"
    text = json.dumps(redacted(value), ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "…"


def told(found: dict[str, tuple[t.Any, t.Any]], patterns: t.Iterable[str]) -> list[str]:
    patterns = list(patterns)
    return [f"{key}: {shown(key, old)} → {shown(key, new)} ({'live' if is_live(key, patterns) else 'at the next start'})"
            for key, (old, new) in found.items()]


def read_revisions(text: str) -> list[Revision]:
    """Newest first."""
    if not text.strip():
        return []
    try:
        found = [Revision(int(one["version"]), str(one["written"]), str(one["text"]), str(one["jvm"]), bool(one.get("back")))
                 for one in json.loads(text)["revisions"]]
    except (ValueError, TypeError, KeyError) as error:
        raise CachingError(f"the record of the configuration's revisions can't be read ({error}): remove it to begin anew") from error
    return sorted(found, key=lambda one: -one.version)


def written_revisions(revisions: list[Revision], keep: int) -> str:
    """The newest is what is in force; ``keep`` older ones stay."""
    return json.dumps({"format": 1, "revisions": [one._asdict() for one in revisions[:max(keep, 1) + 1]]}, ensure_ascii=False, indent=1) + "\n"


def noted(revisions: list[Revision], text: str, jvm: str) -> list[Revision]:
    """With what is there now as the newest one, where somebody else has written it."""
    if revisions and (revisions[0].text, revisions[0].jvm) == (text, jvm) or not revisions and not text and not jvm:
        return revisions
    return [Revision(revisions[0].version + 1 if revisions else 1, "", text, jvm), *revisions]


def chosen(revisions: list[Revision], wanted: str) -> Revision:
    """A revision by its number, or the previous one; where that was brought back already, it is the one (H28)."""
    if wanted == "previous":
        if revisions and revisions[0].back:
            return revisions[0]
        if len(revisions) < 2:
            raise CachingError("caching_configuration_revision: there is no previous revision of the configuration yet")
        return revisions[1]
    for one in revisions:
        if str(one.version) == wanted:
            return one
    there = ", ".join(str(one.version) for one in revisions) or "none"
    raise CachingError(f"caching_configuration_revision: there is no revision {wanted} of the configuration; there are: {there}")


def at_start(revisions: list[Revision], started: str) -> Revision | None:
    """What a process read that started then: the newest revision that was written before it, else the oldest one known."""
    older = [one for one in revisions if one.written[:19] <= started[:19]]
    return next(iter(older or revisions[-1:]), None)


def before(members: t.Iterable[t.Mapping[str, t.Any]], written: str) -> list[str]:
    """Names of those that started before something was written."""
    return [str(one["name"]) for one in members if one.get("started") and str(one["started"])[:19] < written[:19]]


def _below(tree: t.Any, path: str) -> t.Any:
    """The value at a whole name below a bean, whatever its spelling; None where there is none, or it is masked."""
    value = {canonical(name): value for name, value in flat(tree).items()}.get(path)
    return None if isinstance(value, str) and _MASKED.fullmatch(value) else value


def in_force(properties: t.Any, key: str) -> t.Any:
    """What a process says of a key in its configprops: what it read from files where it tells that, else what it uses."""
    name, best = canonical(key), ("", None)
    contexts = properties.get("contexts") if isinstance(properties, dict) else None
    for context in (contexts or {}).values():
        for bean in (context.get("beans") or {}).values():
            prefix = canonical(str(bean.get("prefix", "")))
            if len(prefix) > len(best[0]) and name.startswith(f"{prefix}."):
                rest = name[len(prefix) + 1:]
                read = _below(bean.get("inputs") or {}, f"{rest}.value")
                value = _below(bean.get("properties") or {}, rest) if read is None else read
                best = (prefix, value) if value is not None else best
    return best[1]


def unread(told: list[dict[str, t.Any]], wanted: Tree, keys: list[str]) -> list[str]:
    """Processes that say another value of one of these keys than the written one; a key that they do not tell speaks for nothing."""
    values = {canonical(name): value for name, value in flat(nested(wanted)).items()}
    found = []
    for process in told:
        if process.get("error"):
            found.append(f"{process['name']} ({process['error']})")
            continue
        for key in keys:
            expected, seen = values.get(canonical(key)), in_force(process.get("properties"), key)
            if expected is not None and seen is not None and not is_secret(key) and str(seen).lower() != str(expected).lower():
                found.append(f"{process['name']} ({key} is {shown(key, seen)})")
                break
    return found
