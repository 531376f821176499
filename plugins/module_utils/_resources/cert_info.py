# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Every endpoint of a fleet, by verified handshakes (S144, H53): some at a time, each within its time."""

from __future__ import annotations

import os
import re
import ssl
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from .. import _cert_model as model
from .. import _cert_served as served
from .. import _x509
from .._cert_names import parse_all
from .._cert_policy import span
from .._cert_served import Limits, Look
from .._duration import parse
from .._errors import CachingError, one_line
from .._wait import Deadline

_ENDPOINT = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:/@\[\]]+)):([0-9]{1,5})")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PAUSE = 1.0


class Survey:
    """What one task wants to know of its endpoints."""

    def __init__(self, params: t.Mapping[str, t.Any]) -> None:
        self.endpoints = {text: _endpoint(text) for text in params["endpoints"]}
        if not self.endpoints:
            raise CachingError("endpoints: give at least one as host:port")
        self.names = parse_all(params["names"], "names")
        fail = params["fail_before"]
        self.limits = Limits(float(parse(params["warn_before"], "warn_before")), float(parse(fail, "fail_before")) if fail is not None else None)
        self.wait_timeout = float(parse(params["wait_timeout"], "wait_timeout"))
        self.concurrency: int = params["concurrency"]
        if not 1 <= self.concurrency <= 100:
            raise CachingError(f"concurrency: it goes from 1 to 100, not {self.concurrency}")
        self.expected = self._expected(params["fingerprint"], params["fingerprints"])
        timeout = float(parse(params["timeout"], "timeout"))
        if not 0 < timeout <= 600:
            raise CachingError("timeout: it must be between more than zero and PT10M")
        hosts = [name.text for name in self.names if name.kind != "URI"]
        roots = b"".join(model.pem(model.certificates(text, f"trusted_certificates[{number}]"))
                         for number, text in enumerate(params["trusted_certificates"] or []))
        if params["path"] and params["protocol"] != "https":
            raise CachingError("path: only for protocol https")
        if params["path"] and not re.fullmatch(r"/[\x21-\x7e]*", params["path"]):
            raise CachingError(f"path: {one_line(repr(params['path']), 80)} is no path of a URL")
        self.peer = _x509.Peer(
            params["protocol"], roots.decode(), params["ca_path"], params["client_cert"], params["client_key"] or params["client_cert"],
            params["server_name"] or (hosts[0].replace("*", "any", 1) if hosts else ""), params["path"] or "", timeout)
        self._pair = self._contexts()

    def _expected(self, every: str | None, single: t.Mapping[str, t.Any]) -> dict[str, str]:
        """The fingerprint that is expected of each endpoint; empty where none is."""
        if unknown := sorted(set(single) - set(self.endpoints)):
            raise CachingError(f"fingerprints: {', '.join(unknown[:5])} is not among the endpoints")
        found = {endpoint: str(single.get(endpoint) or every or "") for endpoint in self.endpoints}
        for text in found.values():
            if text and not _SHA256.fullmatch(served.plain(text)):
                raise CachingError(f"fingerprint: {one_line(repr(text), 120)} is no SHA-256 in hexadecimal")
        return found

    def _contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        for option in ("ca_path", "client_cert", "client_key"):
            path = getattr(self.peer, option)
            if path and not os.path.isfile(path):
                raise CachingError(f"{option}: there is no file {path} on the host where this module runs")
        if self.peer.ca_path:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=self.peer.ca_path)
            except (OSError, ValueError) as error:
                raise CachingError(f"ca_path: {self.peer.ca_path} can't be read as certificates in PEM ({_reason(error)})") from None
        try:
            return _x509.contexts(self.peer)
        except (OSError, ValueError) as error:
            raise CachingError(f"client_cert: {self.peer.client_cert} and its key can't be used as a pair ({_reason(error)})") from None

    def look(self) -> list[Look]:
        with ThreadPoolExecutor(min(self.concurrency, len(self.endpoints))) as threads:
            return list(threads.map(self._one, self.endpoints))

    def _one(self, endpoint: str) -> Look:
        host, port = self.endpoints[endpoint]
        try:
            seen = _x509.look(host, port, self.peer, self._pair)
        except ValueError as error:   # a name that can't be sent
            return Look(endpoint, problem=one_line(error, 120))
        try:
            facts = tuple(model.facts(one) for one in model.from_der(seen.chain))
        except CachingError as error:
            return Look(endpoint, problem=error.message)
        return Look(endpoint, facts, seen.chain_problem, seen.name_problem, seen.problem, seen.status)

    def results(self) -> dict[str, t.Any]:
        """Look until nothing is wrong, or the time to wait is over."""
        deadline = Deadline(self.wait_timeout)
        while True:
            last_look = deadline.over
            looks, now = self.look(), time.time()
            rows = [served.row(look, self.names, self.expected[look.endpoint], self.limits, now) for look in looks]
            problems = [f"{one['endpoint']}: {text}" for one in rows for text in one["problems"]]
            if not problems or last_look:
                break
            deadline.pause(_PAUSE)
        results = {"certificates": rows, "healthy": not problems, "problems": problems, "metrics": served.metrics(rows)}
        if failed := served.failures(looks, self.limits, now):
            within = span(self.limits.fail or 0.0)
            raise CachingError(f"{len(failed)} of {len(looks)} certificates end within fail_before ({within}): {', '.join(failed[:20])}"
                               f"{', …' if len(failed) > 20 else ''}", failed_endpoints=failed, **results)
        return results


def _endpoint(text: str) -> tuple[str, int]:
    found = _ENDPOINT.fullmatch(text.strip())
    if not found or not 0 < int(found[3]) < 65536:
        raise CachingError(f"endpoints: {one_line(repr(text), 80)} is no host:port")
    return found[1] or found[2], int(found[3])


def _reason(error: Exception) -> str:
    return _x509.why(error) if isinstance(error, ssl.SSLError) else one_line(getattr(error, "strerror", None) or error, 120)
