# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Kubernetes objects: what a dry run would change in them and whose they are, and objects as somebody would write them. Pure functions."""

from __future__ import annotations

import hashlib
import json
import re
import typing as t

from ._errors import CachingError
from ._redact import HIDDEN, is_secret, redacted, text

MANAGER = "exalt.caching"
WIDTH = 160
# What the server adds by itself
_SERVERS = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink", "ownerReferences", "deletionTimestamp",
            "deletionGracePeriodSeconds", "namespace")
_NOTES = ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration", "pv.kubernetes.io/bind-completed")
Object = t.Dict[str, t.Any]


class Planned(t.NamedTuple):
    """One object of a dry run. ``before``/``after``: the parts that differ."""

    name: str
    before: Object
    after: Object
    changed: bool
    new: bool
    ours: bool


def reason(message: str) -> str:
    """The API server's own words out of a client's message, in one line."""
    said = re.search(r'"message":\s*"((?:[^"\\]|\\.)*)"', message.replace("\\\\", "\\"))
    words = said[1].replace('\\"', '"') if said else message
    return re.sub(r"\s+", " ", words).strip()


def planned(definition: Object, outcome: Object, namespace_is_new: bool = False) -> Planned:
    name = f"{definition['kind']} {definition['metadata']['name']}"
    if outcome.get("error"):
        told = reason(str(outcome["error"].get("msg", outcome["error"])))
        if namespace_is_new and re.search(r'namespaces "[^"]*" not found', told):
            return Planned(name, {}, definition, True, True, True)
        raise CachingError(f"{name}: {told}")
    diff = outcome.get("diff") or {}
    before, after = diff.get("before") or {}, diff.get("after") or {}
    fields = (before.get("metadata") or {}).get("managedFields")
    new = bool(outcome.get("changed")) and (outcome.get("method") == "create" or "kind" in after and "kind" not in before)
    ours = new or fields is None or any(one.get("manager") == MANAGER and one.get("operation") == "Apply" for one in fields)
    return Planned(name, before, after, bool(outcome.get("changed")), new, ours)


def _leaves(value: t.Any, path: str = "") -> dict[str, t.Any]:
    if isinstance(value, dict) and value:
        return {name: leaf for key, inner in value.items() for name, leaf in _leaves(inner, f"{path}.{key}" if path else str(key)).items()}
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        keyed = [(str(one.get("name", one.get("mountPath", one.get("containerPort", one.get("port", number))))), one) for number, one in enumerate(value)]
        return {name: leaf for key, inner in keyed for name, leaf in _leaves(inner, f"{path}[{key}]").items()}
    return {path: value}


_VALUE = re.compile(r"env\[([^\]]*)\]\.value$|^(?:data|stringData|binaryData)\.(.*)$")     # what follows is named by whoever wrote it


def _told(path: str, value: t.Any) -> str:
    """A value as it is shown: of a secret a digest, and so of a text of many lines, as its own lines are told elsewhere."""
    named = _VALUE.search(path)
    written = json.dumps(value, ensure_ascii=False)
    digest = hashlib.sha256(written.encode()).hexdigest()[:8]
    if named and is_secret(named[1] or named[2]) and isinstance(value, str) and value:
        return f"(secret {digest})"
    if isinstance(value, str) and "\n" in value.strip():
        return f"({len(value.splitlines())} lines {digest})"
    clear = json.dumps(redacted(value), ensure_ascii=False)
    return clear if len(clear) <= WIDTH // 2 else clear[:WIDTH // 2] + "…"


def lines(one: Planned) -> list[str]:
    """What differs, without what the server writes by itself; of a Secret only the names."""
    if not one.changed:
        return []
    if one.new:
        return [f"{one.name}: new"]

    def shown(part: Object) -> dict[str, t.Any]:
        meta = {key: value for key, value in (part.get("metadata") or {}).items() if key not in _SERVERS}
        return _leaves({**{key: value for key, value in part.items() if key not in ("metadata", "status")}, **({"metadata": meta} if meta else {})})

    before, after = shown(one.before), shown(one.after)
    found = []
    for path in sorted(before.keys() | after.keys()):
        if path and before.get(path) != after.get(path):
            if one.name.startswith("Secret "):
                found.append(f"{one.name}: {path} changes")
            else:
                old, new = (_told(path, values[path]) if path in values else "unset" for values in (before, after))
                found.append(f"{one.name}: {path}: {old} → {new}")
    return found or [f"{one.name}: who owns its fields"]


def lost(one: Planned) -> list[str]:
    """Keys of a Secret that are there and would not be any more: most likely a variable of the environment is missing."""
    if not one.name.startswith("Secret ") or one.new:
        return []
    kept = one.after.get("data") or {}
    return [f"{one.name}: {key}" for key, value in sorted((one.before.get("data") or {}).items()) if value and not kept.get(key)]


def summary(definitions: list[Object], outcomes: list[Object]) -> dict[str, t.Any]:
    """``changed``, ``new`` and ``foreign`` names, secrets that would be lost, all differences as lines, and ``replicas`` before and after.

    In a namespace that comes to be, everything is new.
    """
    pairs = list(zip(definitions, outcomes))
    namespace_is_new = any(planned(*pair).new for pair in pairs if pair[0]["kind"] == "Namespace")
    found = [planned(*pair, namespace_is_new=namespace_is_new) for pair in pairs]
    sizes = {one.name: [(part.get("spec") or {}).get("replicas") for part in (one.before, one.after)] for one in found if not one.new}
    return {"changed": [one.name for one in found if one.changed], "new": [one.name for one in found if one.new],
            "foreign": [one.name for one in found if not one.ours], "lost": [name for one in found for name in lost(one)],
            "differences": [line for one in found for line in lines(one)],
            "replicas": {name: both for name, both in sizes.items() if None not in both}}


def clean(found: Object) -> Object:
    """As somebody would write it: without status, what the server adds, and its namespace; it can be applied to an empty one."""
    kept = {key: value for key, value in found.items() if key != "status"}
    meta = {key: value for key, value in found["metadata"].items() if key not in _SERVERS}
    notes = {key: value for key, value in (meta.pop("annotations", None) or {}).items() if key not in _NOTES}
    kept["metadata"] = {**meta, **({"annotations": notes} if notes else {})}
    if found.get("kind") == "Service" and isinstance(found.get("spec"), dict):
        own = ("clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
        kept["spec"] = {key: value for key, value in found["spec"].items()
                        if key not in own and (key != "clusterIP" or value in ("None", ""))}
    if found.get("kind") == "ServiceAccount":
        kept.pop("secrets", None)
    return kept


# How a pod template names other objects: the key above, the key of the name, the kind
_NAMES = (("configMap", "name", "ConfigMap"), ("configMapRef", "name", "ConfigMap"), ("configMapKeyRef", "name", "ConfigMap"),
          ("secret", "secretName", "Secret"), ("secret", "name", "Secret"), ("secretRef", "name", "Secret"), ("secretKeyRef", "name", "Secret"))
_WORKLOADS = ("Deployment", "StatefulSet")
_REFERENCE = re.compile(r"\$\{[^}]*\}|\$\w+")      # of a shell or of Spring: the secret itself stands elsewhere


def _template(workload: Object) -> Object:
    return t.cast(Object, workload["spec"]["template"])


def mentioned(found: list[Object]) -> list[Object]:
    """Kind and name of what the pods of these workloads need."""
    names: set[tuple[str, str]] = set()

    def walk(value: t.Any) -> None:
        if isinstance(value, list):
            for one in value:
                walk(one)
        elif isinstance(value, dict):
            for above, key, kind in _NAMES:
                if isinstance(value.get(above), dict) and isinstance(value[above].get(key), str):
                    names.add((kind, value[above][key]))
            for one in value.values():
                walk(one)

    for workload in found:
        spec = _template(workload)["spec"]
        walk(spec)
        if spec.get("serviceAccountName", "default") != "default":
            names.add(("ServiceAccount", spec["serviceAccountName"]))
    return [{"kind": kind, "name": name} for kind, name in sorted(names)]


def _selects(one: Object, workloads: list[Object]) -> bool:
    spec = one.get("spec") or {}
    selector = spec.get("podSelector") or spec.get("selector") or {}
    labels = selector if one["kind"] == "Service" else selector.get("matchLabels") or {}
    return bool(labels) and any(
        all((_template(workload)["metadata"].get("labels") or {}).get(name) == value for name, value in labels.items()) for workload in workloads)


def in_clear(one: Object) -> bool:
    """Whether a secret seems to stand in it, by the names of variables and keys and by what texts look like."""
    def env(value: t.Any) -> bool:
        if isinstance(value, list):
            return any(env(inner) for inner in value)
        if not isinstance(value, dict):
            return False
        return bool(value.get("value")) and is_secret(str(value.get("name", ""))) or any(env(inner) for inner in value.values())

    data = {name: _REFERENCE.sub(HIDDEN, value) for name, value in (one.get("data") or {}).items() if isinstance(value, str) and value}
    return env(one.get("spec")) or any(is_secret(name) or text(value) != value for name, value in data.items())


def belonging(found: list[Object], encrypted: bool) -> dict[str, t.Any]:
    """The objects of a fleet as somebody would write them, by section. What would stand in clear in the store is left out and named."""
    workloads = [one for one in found if one["kind"] in _WORKLOADS]
    wanted = mentioned(workloads)
    sections: dict[str, list[Object]] = {"configmaps": [], "secrets": [], "workloads": []}
    left_out = [] if encrypted else [f"Secret {one['name']}" for one in wanted if one["kind"] == "Secret"]
    for one in found:
        name = {"kind": one["kind"], "name": one["metadata"]["name"]}
        if one["kind"] not in _WORKLOADS and name not in wanted and not _selects(one, workloads):
            continue
        if not encrypted and (one["kind"] == "Secret" or in_clear(one)):
            left_out += [f"{one['kind']} {name['name']}"] if one["kind"] != "Secret" else []
            continue
        section = {"ConfigMap": "configmaps", "Secret": "secrets"}.get(one["kind"], "workloads")
        sections[section].append(clean(one))
    return {**{name: {"apiVersion": "v1", "kind": "List", "items": items} if items else {} for name, items in sections.items()}, "left_out": left_out}
