# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The Caching Service: its endpoints with the right token each, one instance, each instance or any one, pages, errors."""

from __future__ import annotations

import http
import json
import typing as t
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

from ._duration import within
from ._endpoints import ROLES, Endpoint, table
from ._errors import ApiError, CachingError, describe_body, one_line
from ._http import PASSING_FAULTS, Answer, Http, check_url
from ._listing import page

_MOST_PAGES = 10_000
_PORTS = {"management": 8404, "tls": 8443}
_LOOPBACK = ("127.", "localhost", "[::1]", "::1")
_REMEDIES = {
    401: "the token was not accepted: is {option} right for this service?",
    403: "the token lacks the right: is {option} of the right role? (endpoints can name another)",
    404: "is the path right? (endpoints can name another)",
}
_Item = t.TypeVar("_Item")
_Result = t.TypeVar("_Result")


class Instance(t.NamedTuple):
    """One process of the service. ``name`` is how the platform calls it (a pod, a container), else its address."""

    name: str
    service: str
    management: str
    tls: str


class Service:
    """A view of the service through the options of the fragment ``service``."""

    def __init__(self, params: t.Mapping[str, t.Any]) -> None:
        self._endpoints = table(params.get("endpoints"))
        self._tokens = {role: params.get(f"{role}_token") for role in ROLES if role != "none"}
        for role, token in self._tokens.items():
            if token and not (token.isascii() and token.isprintable() and " " not in token):
                raise CachingError(f"{role}_token: a token has printable ASCII characters only, without spaces or line ends")
        self.instances = [_instance(number, given) for number, given in enumerate(params.get("instances") or [])]
        names = [instance.name for instance in self.instances]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise CachingError(f"instances: two of them have the same name, {one_line(twice, 60)}; give each its own")
        self._any = self._places(params)
        self.concurrency = _whole(params.get("concurrency", 8), "concurrency", 1, 64)
        self.http = Http(
            validate_certs=params.get("validate_certs", True), ca_path=params.get("ca_path"),
            client_cert=params.get("client_cert"), client_key=params.get("client_key"),
            timeout=within(params.get("timeout", 10), "timeout"), retries=_whole(params.get("retries", 3), "retries", 0, 20), concurrency=self.concurrency,
        )

    @property
    def requests(self) -> dict[str, int]:
        """How many requests were sent, repeats included."""
        return dict(self.http.requests)

    def warnings(self) -> list[str]:
        """What is allowed, but should not stay so."""
        urls = [url for place in self._any for url in place[1:]]
        told = []
        if any(self._tokens.values()) and any(url.startswith("http://") and not _is_local(url) for url in urls):
            told.append("tokens are sent over http: anybody on the network can read them; use https")
        return told

    def call(
        self,
        name: str,
        body: t.Any = None,
        /,
        *,
        instance: Instance | None = None,
        query: t.Mapping[str, t.Any] | None = None,
        expect: t.Container[int] = (),
        repeatable: bool | None = None,
        passing: t.Container[int] = PASSING_FAULTS,
        once: bool = False,
        limit: float | None = None,
        **path: str,
    ) -> Answer:
        """Call the endpoint ``name``; the statuses in ``expect`` and 2xx return, all others raise :class:`ApiError`.

        Without ``instance`` any one may answer: the service's own address first, then the instances in order.
        """
        endpoint = self._endpoints[name]
        target = endpoint.path.format_map({part: segment(text) for part, text in path.items()})
        if query:
            pairs = [(key, one) for key, value in query.items() for one in (value if isinstance(value, list) else [value])]
            target += "?" + "&".join(f"{quote(str(key), safe='')}={quote(str(value), safe='')}" for key, value in pairs)
        return self._send(endpoint, target, body, instance, expect, repeatable, passing, once, limit)

    def listing(self, name: str, what: str) -> list[dict[str, t.Any]]:
        """All objects that the endpoint ``name`` lists, over as many pages as there are."""
        endpoint = self._endpoints[name]
        objects: list[dict[str, t.Any]] = []
        target, first, total, seen = endpoint.path, None, None, set()
        while target not in seen:
            seen.add(target)
            answer = self._send(endpoint, target, None, None, (), True, PASSING_FAULTS)
            found = page([] if answer.status == 204 else answer.json(), what, first, answer.headers)
            objects += found.objects
            total = found.total if total is None else total
            first = found.number if first is None else first
            if found.link:
                link = urlsplit(found.link)
                prefix = urlsplit(self._any[0].service).path
                target = (link.path.removeprefix(prefix) or endpoint.path) + (f"?{link.query}" if link.query else "")
            elif found.query:
                joint = "&" if "?" in endpoint.path else "?"
                target = endpoint.path + joint + "&".join(f"{key}={value}" for key, value in found.query.items())
            elif total is not None and len(objects) < total:
                raise CachingError(f"the list of {what} says that it has {total}, but {len(objects)} came; nothing was changed")
            else:
                return objects
            if len(seen) >= _MOST_PAGES:
                break
        raise CachingError(f"{endpoint.method} {endpoint.path}: the pages of {what} do not end (page {len(seen)} leads back to {target})")

    def every_process(self, single_instance: bool) -> list[Instance]:
        """For what acts on a process: the instances, never a random one behind a balancer."""
        if not self.instances and not single_instance:
            raise CachingError(
                "instances: this acts on each process of the service, so all of them must be given "
                "(single_instance: true says that service_url leads to the only one)"
            )
        return self.processes

    @property
    def processes(self) -> list[Instance]:
        """Every process that is known: the instances, or the service's own address where none are given."""
        return self.instances or self._any

    def each(self, work: t.Callable[[_Item], _Result], items: t.Sequence[_Item]) -> list[_Result]:
        """``work`` on every item, some at a time, in order. ``work`` should not raise."""
        if len(items) < 2:
            return [work(item) for item in items]
        with ThreadPoolExecutor(min(self.concurrency, len(items))) as threads:
            return list(threads.map(work, items))

    def _send(
        self, endpoint: Endpoint, target: str, body: t.Any, instance: Instance | None,
        expect: t.Container[int], repeatable: bool | None, passing: t.Container[int], once: bool = False, limit: float | None = None,
    ) -> Answer:
        places = [instance] if instance else self._any
        headers = {"Accept": "application/json"}
        option, token = self._token(endpoint.token)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        answer = self.http.send(
            endpoint.method, [getattr(place, endpoint.port) + target for place in places],
            headers=headers, body=content, repeatable=repeatable, passing=passing, once=once, limit=limit, reads=endpoint.reads or None,
        )
        if answer.ok or answer.status in expect:
            return answer
        raise _refusal(answer, option, bool(token))

    def _token(self, role: str) -> tuple[str, str | None]:
        """The token of a role; where it isn't given, the admin token, which may do everything."""
        if role == "none":
            return "a token for it in endpoints", None
        if not self._tokens[role] and self._tokens["admin"]:
            return f"admin_token (sent where {role}_token is not given)", self._tokens["admin"]
        return f"{role}_token", self._tokens[role]

    def _places(self, params: t.Mapping[str, t.Any]) -> list[Instance]:
        places = list(self.instances)
        if params.get("service_url"):
            given = {"url": params["service_url"], "management_url": params.get("management_url")}
            place = _instance(0, given, "service_url", "management_url")
            known = next((instance for instance in places if instance.service == place.service), None)
            place = known if known and not params.get("management_url") else place
            places = [place, *(instance for instance in places if instance.service != place.service)]
        if not places:
            raise CachingError("service_url: give the URL of the service, such as https://caching-service:8403, or instances")
        return places


def segment(text: str) -> str:
    """``text`` as one segment of a path. ``.`` and ``..`` can't be one: clients and servers resolve them."""
    if text in ("", ".", ".."):
        raise CachingError(f"{text!r} can't stand in the path of a URL")
    return quote(text, safe="")


def _refusal(answer: Answer, option: str, with_token: bool) -> ApiError:
    reason = describe_body(answer.body, answer.headers.get("content-type", ""))
    if 300 <= answer.status < 400:
        reason = f"it points to {one_line(answer.headers.get('location', 'nowhere'), 120)}, which is not followed"
    try:
        phrase = f"{answer.status} {http.HTTPStatus(answer.status).phrase}"
    except ValueError:
        phrase = str(answer.status)
    remedy = _REMEDIES.get(answer.status, "").format(option=option)
    if answer.status in (401, 403) and not with_token:
        remedy = f"no token was sent: give {option}"
    text = f"{answer.method} {answer.url} answered {phrase}: {reason}" + (f"; {remedy}" if remedy else "")
    return ApiError(text, answer.status, reason)


def _instance(number: int, given: t.Mapping[str, t.Any], option: str = "", management: str = "") -> Instance:
    url = check_url(given.get("url") or "", option or f"instances[{number}].url")
    others = {}
    for port, default in _PORTS.items():
        told = given.get(f"{port}_url")
        if told:
            others[port] = check_url(told, management or f"instances[{number}].{port}_url")
        else:
            parts = urlsplit(url)
            host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
            scheme = "https" if port == "tls" else parts.scheme
            others[port] = f"{scheme}://{host}:{default}{parts.path}"
    return Instance(given.get("name") or urlsplit(url).netloc + urlsplit(url).path, url, others["management"], others["tls"])


def _is_local(url: str) -> bool:
    return (urlsplit(url).hostname or "").startswith(_LOOPBACK)


def _whole(value: t.Any, option: str, least: int, most: int) -> int:
    if not isinstance(value, int) or not least <= value <= most:
        raise CachingError(f"{option}: it must be a whole number from {least} to {most}, not {one_line(value, 40)}")
    return value
