# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Certificates in a Kubernetes TLS Secret: by the API itself, so that a key is in no task, no file and no command line.

In place (the Secret keeps its name, S146): one request replaces the certificate, its key, the roots and what is kept of earlier
versions, on the condition that nobody changed the Secret since it was read. It needs get and update on this one Secret, and create where it
is not there. Versioned (S141, S145): each version is an immutable Secret ``NAME-<number>``, found by a label.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
import traceback
import typing as t

from .._errors import CachingError, one_line
from .._objects import MANAGER, Object, reason
from .cert_place import CERTIFICATE, KEY, KEYSTORE, OURS, ROOTS, TRUSTSTORE, Contents, Moved, Version

try:
    import kubernetes
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError
    from yaml import YAMLError

    KUBERNETES_ERROR = None
except ImportError:
    KUBERNETES_ERROR = traceback.format_exc()

_TIME = 30
_PREVIOUS, _REQUESTED = "previous", "requested"       # keys of the Secret in place
_VERSION, _BACK, _ACTIVATED = "exalt.caching/version", "exalt.caching/rolled-back-from", "exalt.caching/activated"
_LABEL, _MANAGED = "exalt.caching/certificate", {"app.kubernetes.io/managed-by": MANAGER}
_KEEPER = "cert-manager.io/certificate-name"           # who writes it, where that is cert-manager
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,200}[a-z0-9])?")
_LONG = re.compile(r"[A-Za-z0-9+/=]{40,}")            # never shown, whatever it is


class Secrets:
    """One Secret, or one series of them."""

    def __init__(self, params: t.Mapping[str, t.Any]) -> None:
        self.namespace, self.name, self.keep = str(params["namespace"]), str(params["secret"]), int(params["keep_previous"])
        self.versioned: bool = params["versioned"]
        for option, value in (("namespace", self.namespace), ("secret", self.name)):
            if not _NAME.fullmatch(value):
                raise CachingError(f"{option}: {one_line(repr(value), 80)} is no name of a {option} of Kubernetes")
        if self.versioned and self.keep < 1:
            raise CachingError("keep_previous: versioned Secrets need at least 1, as the old one is still in use when the new one is made (H49)")
        if KUBERNETES_ERROR:
            raise CachingError("the host where the module runs needs the Python library kubernetes")
        self._core = _connect(params["kubeconfig"], params["context"])
        self._seen: Object | None = None      # the Secret in place, as it was read
        self._series: dict[int, Object] = {}

    @contextlib.contextmanager
    def alone(self) -> t.Iterator[None]:
        """Others are told by the API server: what changed since it was read is not replaced."""
        yield

    # ---- reading

    def read(self) -> Contents:
        return self._read_series() if self.versioned else self._read_one()

    def _read_one(self) -> Contents:
        self._seen = self._get(self.name)
        if self._seen is None:
            return Contents()
        data = _decoded(self._seen)
        previous = tuple(_version(row) for row in _json(data.pop(_PREVIOUS, b"[]"), list))
        asked = _files(_json(data.pop(_REQUESTED, b"{}"), dict))
        if not data.get(CERTIFICATE) and not data.get(KEY):   # made empty, so that only this one may be written
            return Contents(None, previous[:self.keep], asked)
        current = Version(_number(self._seen, _VERSION), _ours(data), _number(self._seen, _BACK))
        over = asked.get(KEY) is not None and asked[KEY] == data.get(KEY)
        untidy = [_REQUESTED] * over + [f"{_PREVIOUS} {one.number}" for one in previous[self.keep:]]
        return Contents(current, previous[:self.keep], {} if over else asked, tuple(untidy), activated=_number(self._seen, _ACTIVATED))

    def _read_series(self) -> Contents:
        answer = self._call("list", self._core.list_namespaced_secret, self.namespace, label_selector=f"{_LABEL}={self.name}")
        found = [kubernetes.client.ApiClient().sanitize_for_serialization(one) for one in answer.items]
        self._series = {number: one for one in found if (number := _number(one, _VERSION)) and not one["metadata"].get("deletionTimestamp")}
        versions = [Version(number, _ours(_decoded(one)), _number(one, _BACK)) for number, one in sorted(self._series.items(), reverse=True)]
        asked = _decoded(self._get(self._asked) or {})
        current, older = (versions[0], versions[1:]) if versions else (None, [])
        over = current is not None and asked.get(KEY) is not None and asked[KEY] == current.files.get(KEY)
        untidy = [self._asked] * over + [f"{self.name}-{one.number}" for one in older[self.keep:]]
        marked = _number(self._series[current.number], _ACTIVATED) if current else 0
        return Contents(current, tuple(older[:self.keep]), {} if over else asked, tuple(untidy), activated=marked)

    @property
    def _asked(self) -> str:
        return f"{self.name}-requested"

    # ---- writing

    def install(self, version: Version) -> None:
        if self.versioned:
            self._create(self._body(f"{self.name}-{version.number}", version, True))
            self.tidy()
        else:
            self._replace(version, None, True)

    def ask(self, files: dict[str, bytes]) -> None:
        if not self.versioned:
            self._replace(None, files, False)
            return
        if self._get(self._asked):
            self._delete(self._asked)
        self._create({"metadata": {"name": self._asked, "labels": dict(_MANAGED)}, "type": "Opaque", "data": _encoded(files)})

    def mark(self, number: int) -> None:
        found = self._series[number] if self.versioned else self._seen or {}
        meta = found["metadata"]
        note = {"metadata": {"annotations": {_ACTIVATED: str(number)}, "resourceVersion": meta["resourceVersion"]}}
        self._call("patch", self._core.patch_namespaced_secret, meta["name"], self.namespace, note, field_manager=MANAGER)

    def tidy(self) -> None:
        found = self.read()
        if not self.versioned:
            if found.untidy:
                self._replace(None, found.asked, False)
            return
        for name in found.untidy:
            self._delete(name)

    def _body(self, name: str, version: Version, series: bool) -> Object:
        notes = {note: str(number) for note, number in ((_VERSION, version.number), (_BACK, version.back_from)) if number}
        labels = {**_MANAGED, **({_LABEL: self.name} if series else {})}
        return {"metadata": {"name": name, "labels": labels, "annotations": notes}, "type": "kubernetes.io/tls",
                **({"immutable": True} if series else {}), "data": _encoded(version.files)}

    def _replace(self, version: Version | None, asked: dict[str, bytes] | None, over: bool) -> None:
        """The Secret in place: everything in one request. What others put beside the certificate stays."""
        old = self._seen or {}
        before = _decoded(old)
        history = [_version(row) for row in _json(before.pop(_PREVIOUS, b"[]"), list)]
        waiting = {} if over else asked or {}
        if keeper := ((old.get("metadata") or {}).get("annotations") or {}).get(_KEEPER):
            raise CachingError(f"secret: {self.namespace}/{self.name} is written by cert-manager for its Certificate {one_line(keeper, 80)}, which would "
                               f"undo this: delete that Certificate, and the annotation {_KEEPER} of the Secret, and run again")
        if old.get("immutable"):
            raise CachingError(f"secret: {self.namespace}/{self.name} is immutable; use versioned, or delete the Secret and run again")
        if version is None:
            files = {name: data for name, data in before.items() if name != _REQUESTED}
            kept = history[:self.keep]
        else:
            served = {name: data for name, data in before.items() if name in (CERTIFICATE, KEY, ROOTS)}
            last = [Version(_number(old, _VERSION), served, _number(old, _BACK))] if served.get(CERTIFICATE) else []
            kept = [*last, *history][:self.keep]
            files = {**{name: data for name, data in before.items() if name not in (_REQUESTED, KEYSTORE, TRUSTSTORE)}, **version.files}
        body = self._body(self.name, version or Version(_number(old, _VERSION), {}, _number(old, _BACK)), False)
        meta = old.get("metadata") or {}
        for part in ("labels", "annotations"):
            body["metadata"][part] = {**(meta.get(part) or {}), **body["metadata"][part]}
        if version is not None and not version.back_from:
            body["metadata"]["annotations"].pop(_BACK, None)
        body["type"] = old.get("type") or body["type"]
        rows = [{"number": one.number, "rolled_back_from": one.back_from, "files": _encoded(one.files)} for one in kept]
        files |= {_PREVIOUS: json.dumps(rows).encode()} if rows else {}
        files |= {_REQUESTED: json.dumps(_encoded(waiting)).encode()} if waiting else {}
        body["data"] = _encoded({CERTIFICATE: b"", KEY: b"", **files})   # a Secret of this type always has both
        if not old:
            self._create(body)
            return
        body["metadata"]["resourceVersion"] = meta["resourceVersion"]
        self._call("update", self._core.replace_namespaced_secret, self.name, self.namespace, body, field_manager=MANAGER)

    def where(self, version: Version | None) -> dict[str, t.Any]:
        used = f"{self.name}-{version.number}" if self.versioned and version else self.name
        return {"secret": {"namespace": self.namespace, "name": used}}

    # ---- the API

    def _get(self, name: str) -> Object | None:
        found = self._call("get", self._core.read_namespaced_secret, name, self.namespace, missing=True)
        return kubernetes.client.ApiClient().sanitize_for_serialization(found) if found else None

    def _create(self, body: Object) -> None:
        self._call("create", self._core.create_namespaced_secret, self.namespace, body, field_manager=MANAGER)

    def _delete(self, name: str) -> None:
        self._call("delete", self._core.delete_namespaced_secret, name, self.namespace, missing=True)

    def _call(self, verb: str, send: t.Callable[..., t.Any], *arguments: t.Any, missing: bool = False, **options: t.Any) -> t.Any:
        try:
            return send(*arguments, _request_timeout=_TIME, **options)
        except ApiException as error:
            if error.status == 404 and missing:
                return None
            if error.status == 409:
                raise Moved from None
            hint = f"; the account needs {verb} on secrets in {self.namespace}" if error.status == 403 else ""
            said = _LONG.sub("…", reason(error.body or error.reason or ""))
            raise CachingError(f"secret: {verb} of {self.namespace}/{self.name} was refused with {error.status}: {one_line(said, 200)}{hint}") from None
        except (HTTPError, OSError) as error:
            raise CachingError(f"kubeconfig: the API server can't be reached ({_LONG.sub('…', one_line(error, 160))})") from None


def _connect(path: str | None, context: str | None) -> t.Any:
    """By a kubeconfig where one is given, else as the pod's account, else by the user's own kubeconfig."""
    try:
        if path and not os.path.exists(path):
            raise CachingError(f"kubeconfig: there is no file {path} on the host where this module runs")
        settings = kubernetes.client.Configuration()
        if not path and not context and not os.environ.get("KUBECONFIG") and "KUBERNETES_SERVICE_HOST" in os.environ:
            kubernetes.config.load_incluster_config(client_configuration=settings)
        else:
            kubernetes.config.load_kube_config(path, context, client_configuration=settings, persist_config=False)
    except (kubernetes.config.ConfigException, YAMLError, OSError, ValueError, TypeError, KeyError) as error:
        raise CachingError(f"kubeconfig: {one_line(error, 160)}") from None
    settings.retries = False
    return kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(settings))


def _decoded(found: Object) -> dict[str, bytes]:
    return _files(found.get("data") or {})


def _files(data: t.Mapping[str, t.Any]) -> dict[str, bytes]:
    try:
        return {str(name): base64.b64decode(value, validate=True) for name, value in data.items()}
    except (binascii.Error, TypeError, ValueError):
        return {}


def _ours(data: t.Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in data.items() if name in OURS}


def _encoded(files: t.Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(content).decode() for name, content in files.items()}


def _json(data: bytes, kind: type) -> t.Any:
    """What this module wrote; what somebody else changed is nothing."""
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    return found if isinstance(found, kind) else kind()


def _version(row: t.Any) -> Version:
    row = row if isinstance(row, dict) else {}
    number, back, files = row.get("number"), row.get("rolled_back_from"), row.get("files")
    return Version(number if isinstance(number, int) else 0, _files(files if isinstance(files, dict) else {}), back if isinstance(back, int) else 0)


def _number(found: Object, note: str) -> int:
    text = ((found.get("metadata") or {}).get("annotations") or {}).get(note) or "0"
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
