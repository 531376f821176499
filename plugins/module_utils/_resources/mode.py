# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Local-cache mode (S091): in which mode every process is, entering and leaving it (H29)."""

from __future__ import annotations

import datetime
import re
import typing as t
from urllib.parse import urlsplit

from .._duration import normal, parse
from .._errors import CachingError, one_line
from .._reconcile import Change, Object
from .._service import Instance, Service
from .processes import NO_SUCH_CALL, UNKNOWN, PerProcess, Records, problem
from .regions import check_name

FIELDS = {"mode": "text", "regions": "set", "expires_after": "duration"}
_FLAG = re.compile(r"^(local_?cache_?(mode|only)?|fallback(_?mode)?)(_?(enabled|active))?$", re.IGNORECASE)
_MODE = re.compile(r"^(cache_?)?mode$", re.IGNORECASE)
_LOCAL = re.compile(r"^(local([_-]?(cache|only))*([_-]?mode)?|fallback|degraded)$", re.IGNORECASE)
_NORMAL = re.compile(r"^(normal|redis|distributed|remote|off|none)([_-]?(cache|mode))*$", re.IGNORECASE)
_WITH_STATE = ("enabled", "active")
_DEEP = 6
_LONGEST_REASON = 500


def told(body: t.Any) -> Object:
    """The mode in an answer of the service (its own, or a health body): mode and regions, or nothing where it tells none."""
    found = _find(body, _DEEP)
    if found is None:
        return {}
    mode, regions = found
    return {"mode": mode, **({"regions": sorted(map(str, regions))} if isinstance(regions, list) else {})}


def _find(body: t.Any, deep: int) -> tuple[str, t.Any] | None:
    if not isinstance(body, dict) or not deep:
        return None
    for name, value in body.items():
        mode = None
        if _FLAG.match(str(name)):
            inner = value if isinstance(value, dict) else {}
            inner = {**inner, **inner["details"]} if isinstance(inner.get("details"), dict) else inner
            state = next((inner[word] for word in _WITH_STATE if isinstance(inner.get(word), bool)), value)
            mode = ("local_cache" if state else "normal") if isinstance(state, bool) else _worded(state)
        elif _MODE.match(str(name)):
            mode = _worded(value)
        if mode:
            return mode, (value if isinstance(value, dict) else body).get("regions")
    return next((found for value in body.values() if (found := _find(value, deep - 1))), None)


def _worded(value: t.Any) -> str | None:
    if not isinstance(value, str):
        return None
    return "local_cache" if _LOCAL.match(value) else "normal" if _NORMAL.match(value) else None


class Mode:
    """The mode of every process, as wanted by one run."""

    def __init__(self, service: Service, instances: t.Sequence[Instance], params: t.Mapping[str, t.Any], records: Records) -> None:
        self.service = service
        self.reason = params["reason"]
        self.enforced_by = params["expiry_enforced_by"]
        self.want: Object = {"mode": params["state"]}
        self._check(params)
        if params["regions"] is not None:
            self.want["regions"] = sorted(check_name(region, "regions") for region in set(params["regions"]))
        if params["expires_after"] is not None:
            self.want["expires_after"] = normal(params["expires_after"], "expires_after")
        fields = {field: FIELDS[field] for field in self.want}
        self.resource = PerProcess(
            service, instances, fields, self.want, records, self._look, self._act, about=self._about, passing=params["state"] == "local_cache")
        self._was: dict[str, Object] = {}
        self._readable = True

    def _check(self, params: t.Mapping[str, t.Any]) -> None:
        if self.reason is not None and (not self.reason.strip() or len(self.reason) > _LONGEST_REASON or not self.reason.isprintable()):
            raise CachingError(f"reason: give one line of at most {_LONGEST_REASON} characters, not {one_line(repr(self.reason), 60)}")
        if params["state"] == "normal" and (params["regions"] is not None or params["expires_after"] is not None):
            raise CachingError("regions and expires_after belong to state local_cache; leaving it is for all and at once")
        if params["expires_after"] is None:
            return
        if parse(params["expires_after"], "expires_after") <= 0:
            raise CachingError("expires_after: it must be more than 0 seconds")
        if not self.enforced_by:
            raise CachingError("expires_after: a service leaves this mode by nothing of its own; expiry_enforced_by names the scheduled run that ends it")
        if not params["store_url"]:
            raise CachingError("expires_after: needs store_url, where the run that ends it finds the time")

    def _look(self, instance: Instance, once: bool) -> Object:
        found: Object = {}
        if self._readable:
            answer = self.service.call("read_local_cache_mode", instance=instance, expect=NO_SUCH_CALL, once=once)
            self._readable = answer.ok
            found = told({"local_cache_mode": answer.json()} if answer.ok else None)
        if not found:
            found = told(self.service.call("health", instance=instance, expect=(404, 503), passing=(), once=once).json())
        self._was.setdefault(instance.name, found)
        return found

    def _act(self, instance: Instance, change: Change) -> bool:
        if change.fields == ["expires_after"]:
            return False
        once = instance.name in self.resource.silent
        if self.want["mode"] == "normal":
            answer = self.service.call("leave_local_cache_mode", instance=instance, expect=NO_SUCH_CALL, once=once)
            if not answer.ok:
                unknown = "" if self._was.get(instance.name) or self.resource.last[change.name].get("mode") == "local_cache" else "does not tell its mode and "
                raise CachingError(
                    f"this service {unknown}has no way back from local-cache mode ({answer.method} {urlsplit(answer.url).path} answered {answer.status}): "
                    "restart its processes one after the other, or name its own call in endpoints.leave_local_cache_mode"
                )
        else:
            about = {"reason": self.reason, "regions": self.want.get("regions")}
            body = {name: value for name, value in about.items() if value is not None}
            answer = self.service.call("local_cache_mode", body or None, instance=instance, repeatable=True, once=once)
        return answer.status == 202

    def _about(self) -> Object:
        """What a record holds beside the mode: why, until when, and who ends it."""
        about: Object = {"reason": self.reason, "enforced_by": self.enforced_by}
        if "expires_after" in self.want:
            end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=float(parse(self.want["expires_after"])))
            about["expires_at"] = end.isoformat(timespec="seconds")
        return {name: value for name, value in about.items() if value is not None}

    def results(self, objects: t.Mapping[str, Object]) -> dict[str, t.Any]:
        """What the module returns of the processes."""
        resource = self.resource
        instances = [
            {
                "name": name, "url": instance.service, "mode": UNKNOWN if name in resource.silent else objects[name].get("mode", UNKNOWN),
                "was": self._was.get(name, {}).get("mode", UNKNOWN), "error": problem(resource, name),
                "readable": name not in resource.silent and "mode" not in resource.unreadable.get(name, {"mode"}),
            }
            for name, instance in resource.instances.items()
        ]
        return {"instances": instances, "enforced_by": self.enforced_by if "expires_after" in self.want else None}
