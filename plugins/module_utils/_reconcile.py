# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Read, compare, write what differs, read back: the one reconciler of every module that declares a state.

A resource says how its objects are read and written; everything else (plan, refusals before anything is touched, check
mode, bounded concurrency, proof by reading back, the diff, what was done and what was not) is here, once.
"""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ._errors import ApiError, CachingError, Unreachable, one_line
from ._fields import differing, same
from ._wait import Deadline

Object = dict[str, t.Any]
_GRACE = 1.0


class Change(t.NamedTuple):
    """One thing to do. ``have`` is empty for a create, ``want`` for a delete; ``fields`` are those that differ."""

    action: t.Literal["create", "update", "delete"]
    name: str
    have: Object
    want: Object
    fields: list[str]

    @property
    def after(self) -> Object:
        return {**self.have, **self.want}


class Wanted(t.NamedTuple):
    """The declared state: objects by name, names that must be gone, and whether undeclared ones go too."""

    present: dict[str, Object]
    absent: list[str] = []
    purge: bool = False


class Resource(t.Protocol):
    """Objects of one kind in the service. All of them are read at once; a write returns True when it applies later."""

    kind: str
    fields: t.Mapping[str, str]
    concurrency: int

    def read(self) -> dict[str, Object]: ...
    def guard(self, changes: list[Change]) -> None: ...
    def write(self, change: Change) -> bool: ...


class Mode(t.Protocol):
    """What the reconciler needs of a module run."""

    check_mode: bool

    def warn(self, text: str) -> None: ...


def reconcile(
    run: Mode, resource: Resource, wanted: Wanted, wait_timeout: float = 30.0, found: t.Callable[[list[str]], None] = lambda names: None
) -> dict[str, t.Any]:
    """Bring ``resource`` to ``wanted``. Returns changed, diff, summary and objects (by name, as read back).

    ``found`` is told, in a real run only, which objects were already as wanted.
    """
    have = resource.read()
    changes, unchanged = _plan(resource, have, wanted)
    resource.guard(changes)
    hidden = _hidden(resource, have, wanted)
    if hidden and have:
        run.warn(f"the service does not show {', '.join(hidden)} of a {resource.kind}: declared values are sent, but can't be compared")
    if not run.check_mode:
        found(unchanged)
    result: dict[str, t.Any] = {"changed": bool(changes), "diff": _diff(resource, changes)}
    if run.check_mode or not changes:
        gone = {change.name for change in changes if change.action == "delete"}
        objects = {**have, **{change.name: change.after for change in changes if change.name not in gone}}
        kept = {name: entry for name, entry in objects.items() if name not in gone}
        return {**result, "summary": _summary(changes, unchanged), "objects": kept}
    errors, doubtful, refused, later = _write(resource, changes)
    try:
        have, open_changes = _settle(resource, changes, refused, wait_timeout if later else _GRACE)
    except CachingError as error:
        raise _unproved(resource, changes, errors, doubtful, error) from None
    if open_changes:
        raise _failure(resource, changes, open_changes, errors, unchanged, have)
    return {**result, "summary": _summary(changes, unchanged), "objects": have}


def _plan(resource: Resource, have: dict[str, Object], wanted: Wanted) -> tuple[list[Change], list[str]]:
    shown = _shown(resource, have)
    changes, unchanged = [], []
    for name, want in wanted.present.items():
        if name not in have:
            changes.append(Change("create", name, {}, want, sorted(want)))
        elif fields := differing(resource.fields, have[name], want, shown):
            unseen = [field for field in want if field in resource.fields and field not in shown and field not in fields]
            changes.append(Change("update", name, have[name], want, fields + unseen))
        else:
            unchanged.append(name)
    undeclared = [name for name in have if name not in wanted.present and name not in wanted.absent] if wanted.purge else []
    for name in [*wanted.absent, *undeclared]:
        if name in have:
            changes.append(Change("delete", name, have[name], {}, []))
        else:
            unchanged.append(name)
    return changes, unchanged


def _shown(resource: Resource, have: dict[str, Object]) -> set[str]:
    return {field for field in resource.fields if any(entry.get(field) is not None for entry in have.values())}


def _hidden(resource: Resource, have: dict[str, Object], wanted: Wanted) -> list[str]:
    declared = {field for want in wanted.present.values() for field in want if field in resource.fields}
    return sorted(declared - _shown(resource, have))


def _write(resource: Resource, changes: list[Change]) -> tuple[dict[str, str], set[str], set[str], bool]:
    """Errors by name, those of them that may have been done all the same, those that certainly are not (a conflict may
    mean that somebody else just did it), and whether any write is applied later.

    When nobody answers any more, the rest is not tried.
    """
    errors: dict[str, str] = {}
    doubtful: set[str] = set()
    refused: set[str] = set()
    fatal: list[str] = []

    def work(change: Change) -> bool:
        if fatal:
            errors[change.name] = "not tried"
            return False
        try:
            return resource.write(change)
        except CachingError as error:
            errors[change.name] = error.message
            if error.may_have_acted:
                doubtful.add(change.name)
            elif not (isinstance(error, ApiError) and error.status == 409):
                refused.add(change.name)
            if isinstance(error, ApiError) and error.status in (401, 403) or isinstance(error, Unreachable) and not error.passing:
                fatal.append(change.name)
            return False

    order = sorted(changes, key=lambda change: change.action == "delete")
    with ThreadPoolExecutor(min(resource.concurrency, len(order))) as threads:
        return errors, doubtful, refused, any(list(threads.map(work, order)))


def _settle(resource: Resource, changes: list[Change], refused: t.Collection[str], timeout: float) -> tuple[dict[str, Object], dict[str, str]]:
    """Read back until every change is seen, or the time is over; what is still open, with what was seen instead.

    What was ``refused`` is not waited for.
    """
    deadline = Deadline(timeout)
    pause = 0.1
    while True:
        last_look = deadline.over
        have = resource.read()
        shown = _shown(resource, have)
        still = {change.name: seen for change in changes if (seen := _open(resource, change, have, shown))}
        if last_look or not still.keys() - refused:
            return have, still
        deadline.pause(pause)
        pause = min(2.0, pause * 2)


def _open(resource: Resource, change: Change, have: dict[str, Object], shown: set[str]) -> str:
    """Why ``change`` is not done, or nothing. A field that no object shows is not proved, but no contradiction."""
    now = have.get(change.name)
    if change.action == "delete":
        return f"the {resource.kind} is still there" if now is not None else ""
    if now is None:
        return f"the {resource.kind} is not there"
    wrong = differing(resource.fields, now, change.want, shown)
    lost = [
        field for field, value in change.have.items()
        if field not in change.want and field in resource.fields and value is not None and _is_lost(resource, field, value, now.get(field))
    ]
    told = [f"{field} is {one_line(repr(now.get(field)), 60)}, wanted {one_line(repr(change.want[field]), 60)}" for field in wrong]
    told += [f"{field}, which was not declared, went from {one_line(repr(change.have[field]), 60)} to {one_line(repr(now.get(field)), 60)}" for field in lost]
    return "; ".join(told)


def _is_lost(resource: Resource, field: str, before: t.Any, now: t.Any) -> bool:
    """Whether a field that was not declared was reset. One of unknown meaning may move by itself; then only a loss counts."""
    if now is None and not before:  # an empty list that is left out says the same
        return False
    return now is None if resource.fields[field] == "any" else not same(resource.fields[field], now, before)


def _summary(changes: list[Change], unchanged: list[str]) -> dict[str, list[str]]:
    names = {action: [change.name for change in changes if change.action == action] for action in ("create", "update", "delete")}
    return {"created": names["create"], "updated": names["update"], "deleted": names["delete"], "unchanged": unchanged}


def _diff(resource: Resource, changes: list[Change]) -> dict[str, dict[str, Object]]:
    def show(entry: Object) -> Object:
        return {field: entry[field] for field in resource.fields if entry.get(field) is not None}

    return {
        "before": {change.name: show(change.have) for change in changes if change.action != "create"},
        "after": {change.name: show(change.after) for change in changes if change.action != "delete"},
    }


def _failure(
    resource: Resource, changes: list[Change], still: dict[str, str], errors: dict[str, str], unchanged: list[str], now: dict[str, Object]
) -> CachingError:
    done = [change for change in changes if change.name not in still]
    half = [_as_found(change, now) for change in changes if change.name in still and _touched(resource, change, now)]
    failures = [
        {"name": change.name, "action": change.action, "error": errors.get(change.name) or f"answered with success, but {still[change.name]}"}
        for change in changes if change.name in still
    ]
    alike: dict[tuple[str, str], list[str]] = {}
    for failure in failures:
        alike.setdefault((failure["action"], failure["error"]), []).append(failure["name"])
    first = list(alike.items())[:3]
    told = "; ".join(f"{', '.join(names[:5])}{', …' if len(names) > 5 else ''} ({action}): {error}" for (action, error), names in first)
    left = len(failures) - sum(len(names) for _reason, names in first)
    more = f"; and {left} more, listed under failures" if left else ""
    names = ", ".join(change.name for change in done[:10]) + (", …" if len(done) > 10 else "")
    rest = f"done: {names}" if done else "in part: " + ", ".join(change.name for change in half) if half else "nothing was changed"
    return CachingError(
        f"{len(failures)} of {len(changes)} changes to {resource.kind}s failed: {told}{more}; {rest}. Once that is put right, a second run does what is left",
        changed=bool(done or half), diff=_diff(resource, [*done, *half]), summary=_summary(done, unchanged), failures=failures,
    )


def _as_found(change: Change, now: dict[str, Object]) -> Change:
    """What a change that is not done has really done; an update may even have lost the object."""
    if change.name in now:
        return change._replace(want=now[change.name])
    return change._replace(action="delete", want={})


def _touched(resource: Resource, change: Change, now: dict[str, Object]) -> bool:
    """Whether a change that is not done left something behind all the same."""
    entry = now.get(change.name)
    if entry is None or change.action == "delete":
        return entry is None and change.action == "update"
    return change.action == "create" or any(entry.get(field) != change.have.get(field) for field in resource.fields)


def _unproved(resource: Resource, changes: list[Change], errors: dict[str, str], doubtful: set[str], error: CachingError) -> CachingError:
    """Reading back failed: nothing is proved. What was acknowledged, and what may have been done, is told as just that."""
    acknowledged = [change for change in changes if change.name not in errors]
    failures = [{"name": name, "error": text} for name, text in errors.items()]
    doubt = f" and {len(doubtful)} may have been made without an answer" if doubtful else ""
    return CachingError(
        f"{len(acknowledged)} of {len(changes)} changes to {resource.kind}s were acknowledged{doubt}, but reading back failed: {error.message}. "
        "A second run shows what is left and does it",
        changed=bool(acknowledged or doubtful), diff=_diff(resource, acknowledged), summary=_summary(acknowledged, []), failures=failures,
    )
