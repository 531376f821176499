# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input of every kind: one clear line each that names the thing, no traceback, nothing changed, an end in bounded time.

The tables hold (name, module, options, a telling part of the message). Options are put over those of a working service.
"""

from __future__ import annotations

import base64
import typing as t
from collections.abc import Iterator

import pytest

from tests.harness import bad_places
from tests.harness.modules import ModuleResult, run_module
from tests.harness.stage import Stage
from tests.harness.targets import Service, Services

Case = tuple[str, str, dict[str, t.Any], str]
BOUND = 15.0    # seconds for one run, on a busy machine
QUICK = {"timeout": "PT1S", "retries": 0}
LIST = "/api/v1/cache/regions"
MIB = 1 << 20


def region(**fields: t.Any) -> dict[str, t.Any]:
    return {"regions": [{"name": "new", **fields}]}


def item(**fields: t.Any) -> dict[str, t.Any]:
    return {"invalidations": [fields]}


def named(cases: list[Case]) -> list[t.Any]:
    return [pytest.param(*case[1:], id=f"{case[1]}-{case[0]}") for case in cases]


@pytest.fixture(scope="module")
def stocked(_services: Services) -> Service:
    """A service with a region of two entries. No test of this file may change it."""
    target = _services.get(())
    stage = Stage(target)
    stage.region("products")
    stage.entries("products", ["k1", "k2"])
    return target


@pytest.fixture
def target(stocked: Service) -> Iterator[Service]:
    stocked.proxy.clear()
    yield stocked
    stocked.proxy.break_with()


def clear_line(result: ModuleResult, told: str) -> None:
    """What every failure must be."""
    assert result.get("failed") and not result.crashed, result
    message = result["msg"]
    assert told in message, message
    assert "\n" not in message and "\r" not in message and len(message) < 1500, message
    said = (result.stdout + result.stderr).lower()
    assert "traceback" not in said and "internal error" not in said, result.stdout + result.stderr
    assert result.get("changed", False) is False
    assert result.seconds < BOUND, result.seconds


def refused(target: Service, module: str, options: dict[str, t.Any], told: str) -> ModuleResult:
    """Run it; the failure is a clear line, and the proxy saw no write."""
    result = run_module(module, {**target.args, **QUICK, **options}, timeout=60)
    clear_line(result, told)
    assert target.proxy.writes() == []
    return result


# ---- options that can't be meant

WRONG_TYPES: list[Case] = [
    ("regions-text", "cache_region", {"regions": "products"}, "dictionary requested"),
    ("regions-number", "cache_region", {"regions": [5]}, "regions"),
    ("no-name", "cache_region", {"regions": [{"max_size": 1}]}, "missing required arguments: name"),
    ("size-text", "cache_region", region(max_size="many"), "max_size"),
    ("size-fraction", "cache_region", region(max_size=1.5), "max_size"),
    ("size-negative", "cache_region", region(max_size=-1), "max_size of new can't be negative (-1)"),
    ("flag", "cache_region", region(enable_compression="perhaps"), "enable_compression"),
    ("unknown-word", "cache_region", region(ttl="PT1H"), "ttl"),
    ("unknown-option", "cache_region", {"region": "products"}, "Unsupported parameters"),
    ("state", "cache_region", region(state="gone"), "present, absent"),
    ("extra-list", "cache_region", region(extra=[1]), "extra"),
    ("extra-known", "cache_region", region(extra={"defaultTtl": "PT1H"}), "extra.defaultTtl of new: use the option default_ttl"),
    ("extra-name", "cache_region", region(extra={"name": "other"}), "extra.name of new: use the option name"),
    ("twice", "cache_region", {"regions": [{"name": "a"}, {"name": "a"}]}, "regions: a is declared twice"),
    ("twice-contradicting", "cache_region", {"regions": [{"name": "a"}, {"name": "a", "state": "absent"}]}, "a is declared twice"),
    ("purge-limit", "cache_region", {"purge_limit": -1, "purge": True}, "purge_limit"),
    ("delete-limit", "cache_region", {"delete_limit": -2}, "delete_limit"),
    ("on-immutable", "cache_region", {"on_immutable": "ignore"}, "fail, recreate"),
    ("retries-negative", "cache_region", {"retries": -1}, "retries: it must be a whole number from 0 to 20, not -1"),
    ("retries-huge", "cache_info", {"retries": 10**6}, "retries: it must be a whole number from 0 to 20"),
    ("concurrency-none", "cache_region", {"concurrency": 0}, "concurrency: it must be a whole number from 1 to 64"),
    ("concurrency-huge", "cache_info", {"concurrency": 10**9}, "concurrency: it must be a whole number from 1 to 64"),
    ("subset", "cache_info", {"subset": ["everything"]}, "subset"),
    ("no-such-region", "cache_info", {"region": "nope"}, "there is no region 'nope'; the service has products"),
    ("component-dots", "cache_health_info", {"components": [".."], "single_instance": True}, "components: '..' can't be the name of a component"),
    ("component-empty", "cache_health_info", {"components": [""], "single_instance": True}, "components: '' can't be the name of a component"),
    ("component-unknown", "cache_health_info", {"components": ["nonsense"], "single_instance": True}, "nonsense MISSING"),
    ("require-all", "cache_health_info", {"require_all": "some"}, "require_all"),
]
NAMES: list[Case] = [
    (f"name-{number}", "cache_region", {"regions": [{"name": name}]}, "can't be the name of a region")
    for number, name in enumerate(["", "  ", ".", "..", "a\nb", "a\tb", "x" * 600, "\x00"])
] + [("name-surrogate", "cache_region", {"regions": [{"name": "\ud800"}]}, "is not valid UTF-8")]
DURATIONS: list[Case] = [
    (f"duration-{text or 'empty'}", "cache_region", region(default_ttl=text), "default_ttl of new")
    for text in ["2 hours", "P1M", "P1Y2M", "P", "PT", "-PT1H", "-5", "PT1H30", "PT2H1H", "P1H", "NaN", "Infinity", "1e400",
                 "PT99999999999999H", "", "PT1H\nPT2H", "१२", "1_000", True, "0x10"]
] + [
    ("wait-timeout", "cache_region", {"wait_timeout": "soon"}, "wait_timeout: 'soon' is not a duration; use ISO-8601 such as PT2H"),
    ("months", "cache_region", region(default_ttl="P2M"), "months and years have no fixed length: use days"),
    ("timeout-none", "cache_info", {"timeout": "0"}, "timeout: it must be more than 0 and"),
    ("timeout-long", "cache_info", {"timeout": "PT2H"}, "timeout: it must be more than 0 and at most 3600 seconds, not PT2H"),
    ("timeout-months", "cache_health_info", {"timeout": "P1M"}, "timeout: 'P1M' is not a duration"),
    ("health-wait", "cache_health_info", {"wait_timeout": "-1"}, "wait_timeout: '-1' is not a duration"),
    ("count-timeout", "cache_invalidate", {"count_timeout": "a while"}, "count_timeout: 'a while' is not a duration"),
    ("redis-timeout", "cache_invalidate", {"redis_nodes": ["127.0.0.1:9"], "redis_timeout": "now", **item(
        type="pattern", region="products", pattern="*")}, "redis_timeout: 'now' is not a duration"),
]
ENDPOINTS: list[Case] = [
    ("endpoint-typo", "cache_region", {"endpoints": {"list_region": {"path": "/x"}}}, "did you mean list_regions?"),
    ("endpoint-unknown", "cache_info", {"endpoints": {"S999": {"path": "/x"}}}, "endpoints: there is no endpoint 'S999'"),
    ("endpoint-text", "cache_info", {"endpoints": {"list_regions": "/x"}}, "takes method, path and token"),
    ("endpoint-empty", "cache_info", {"endpoints": {"list_regions": {}}}, "takes method, path and token"),
    ("endpoint-word", "cache_info", {"endpoints": {"list_regions": {"url": "/x"}}}, "takes method, path and token"),
    ("endpoint-method", "cache_info", {"endpoints": {"list_regions": {"method": "FETCH"}}}, "method of list_regions must be an HTTP method"),
    ("endpoint-path", "cache_info", {"endpoints": {"list_regions": {"path": "v2/regions"}}}, "must be a path that begins with /"),
    ("endpoint-space", "cache_info", {"endpoints": {"list_regions": {"path": "/a b"}}}, "must be a path that begins with /"),
    ("endpoint-token", "cache_info", {"endpoints": {"list_regions": {"token": "root"}}}, "one of api, admin, monitor, none"),
    ("endpoint-place", "cache_region", {"endpoints": {"update_region": {"path": "/v2/{name}"}}}, "path of update_region must"),
    ("endpoint-lost-place", "cache_region", {"endpoints": {"delete_region": {"path": "/v2/regions"}}}, "path of delete_region must"),
    ("endpoint-brace", "cache_info", {"endpoints": {"region_stats": {"path": "/v2/{region"}}, "subset": ["region_stats"]}, "path of region_stats must"),
    ("endpoint-attribute", "cache_info", {"endpoints": {"region_stats": {"path": "/v2/{region.__class__}"}}}, "path of region_stats must"),
    ("endpoints-list", "cache_info", {"endpoints": ["list_regions"]}, "endpoints"),
]
URLS: list[Case] = [
    (f"url-{number}", "cache_info", {"service_url": url}, told) for number, (url, told) in enumerate([
        ("caching-service:8403", "is not a URL such as https://caching-service:8403"), ("ftp://caching-service", "is not a URL"),
        ("http://", "is not a URL"), ("http://:8403", "is not a URL"), ("http://caching service:8403", "is not a URL"),
        ("http://caching-service:0", "is not a URL"), ("http://caching-service:99999", "is not a URL"),
        ("http://caching-service:port", "is not a URL"), ("http://[::1", "is not a URL"), ("http://a\nb", "is not a URL"),
        ("http://host/?a=1", "must not have a query or fragment"), ("http://host/#top", "must not have a query or fragment"),
        ("", "service_url: give the URL of the service"),
    ])
] + [
    ("instance-url", "cache_health_info", {"instances": [{"url": "nowhere"}]}, "instances[0].url: 'nowhere' is not a URL"),
    ("instance-none", "cache_health_info", {"instances": [{"name": "x"}]}, "missing required arguments: url"),
    ("instance-tls", "cache_health_info", {"instances": [{"url": "http://h", "tls_url": "h:8443"}]}, "instances[0].tls_url"),
    ("management", "cache_info", {"management_url": "http://h:x"}, "management_url: 'http://h:x' is not a URL"),
    ("dead-port", "cache_info", {"service_url": "http://127.0.0.1:9"}, "no connection (Connection refused)"),
    ("dead-port-region", "cache_region", {"service_url": "http://127.0.0.1:9", **region()}, "no connection (Connection refused)"),
    ("dead-port-health", "cache_health_info", {"service_url": "http://127.0.0.1:9"}, "127.0.0.1:9: status UNREACHABLE"),
    ("no-such-host", "cache_info", {"service_url": "http://nowhere.invalid:8403"}, "nowhere.invalid:8403/api/v1/cache/regions: no connection ("),
    ("https-to-http", "cache_info", {"service_url": "https://127.0.0.1:{port}"}, "is it http instead of https?"),
]
INVALIDATIONS: list[Case] = [
    (f"item-{number}", "cache_invalidate", item(**fields), told) for number, (fields, told) in enumerate([
        ({"type": "key", "keys": ["k1"]}, "invalidations[0]: give region, or regions"),
        ({"type": "key", "region": "products", "regions": ["products"], "keys": ["k1"]}, "give region, or regions"),
        ({"type": "key", "region": "products"}, "type key needs keys"),
        ({"type": "key", "region": "products", "keys": ["k1"], "pattern": "*"}, "takes no pattern"),
        ({"type": "pattern", "region": "products"}, "type pattern needs pattern"),
        ({"type": "tags", "region": "products", "tags": []}, "type tags needs tags"),
        ({"type": "region", "region": "products", "keys": ["k1"]}, "clears whole regions, and takes no keys"),
        ({"type": "everything", "region": "products"}, "key, pattern, tags, region"),
        ({"region": "products"}, "missing required arguments: type"),
        ({"type": "key", "region": "products", "keys": [""]}, "an empty key or tag can't be meant"),
        ({"type": "key", "region": "..", "keys": ["k1"]}, "'..' can't be the name of a region"),
        ({"type": "key", "region": "nope", "keys": ["k1"]}, "there is no region nope (the service has products); nothing was removed"),
        ({"type": "region", "region": "products"}, "clearing a region needs max_percent 100, not 10; nothing was removed"),
        ({"type": "pattern", "region": "products", "pattern": "k*"}, "redis_nodes are not given"),
        ({"type": "tags", "region": "products", "tags": ["a"]}, "tag_format is not given"),
    ])
]
ONE_KEY = item(type="key", region="products", keys=["k1"])
BY_PATTERN = item(type="pattern", region="products", pattern="k*")
LIMITS: list[Case] = [
    ("max-entries", "cache_invalidate", {"max_entries": -1}, "max_entries can't be negative"),
    ("max-entries-text", "cache_invalidate", {"max_entries": "all"}, "max_entries"),
    ("max-percent", "cache_invalidate", {"max_percent": 101}, "max_percent goes from 0 to 100"),
    ("max-percent-nan", "cache_invalidate", {"max_percent": "nan"}, "max_percent goes from 0 to 100"),
    ("too-many", "cache_invalidate", {"max_entries": 0, **ONE_KEY}, "1 entries match, more than max_entries 0"),
    ("key-format", "cache_invalidate", {"key_format": "{region}", **ONE_KEY}, "key_format: '{region}' must hold {key}"),
    ("key-format-word", "cache_invalidate", {"key_format": "{app}:{key}", **ONE_KEY}, "key_format: '{app}:{key}' must hold {key}"),
    ("tag-format", "cache_invalidate", {"tag_format": "tags:{region}", **ONE_KEY}, "tag_format: 'tags:{region}' must hold {tag}"),
    ("nodes-no-port", "cache_invalidate", {"redis_nodes": ["redis"], **BY_PATTERN}, "redis_nodes: 'redis' is not host:port"),
    ("nodes-port", "cache_invalidate", {"redis_nodes": ["redis:0"], **BY_PATTERN}, "redis_nodes: 'redis:0' is not host:port"),
    ("nodes-url", "cache_invalidate", {"redis_nodes": ["redis://h"], **BY_PATTERN}, "redis_nodes"),
    ("nodes-dead", "cache_invalidate", {"redis_nodes": ["127.0.0.1:9"], **BY_PATTERN}, "Redis at 127.0.0.1:9 can't be read"),
    ("nodes-no-host", "cache_invalidate", {"redis_nodes": ["nowhere.invalid:6379"], **BY_PATTERN}, "Redis at nowhere.invalid:6379 can't be read"),
    ("address-map", "cache_invalidate", {"redis_nodes": ["h:1"], "redis_address_map": {"a": "b"}, **BY_PATTERN}, "redis_address_map: 'a' is not host:port"),
]


@pytest.mark.parametrize(("module", "options", "told"), named(
    [*WRONG_TYPES, *NAMES, *DURATIONS, *ENDPOINTS, *URLS, *INVALIDATIONS, *LIMITS]))
def test_bad_options(target: Service, module: str, options: dict[str, t.Any], told: str) -> None:
    given = {name: value.replace("{port}", str(target.port)) if name == "service_url" else value for name, value in options.items()}
    refused(target, module, given, told)


@pytest.mark.hazard("H01")
def test_a_password_in_a_url_is_refused_and_not_printed(target: Service) -> None:
    for options in ({"service_url": "http://ops:hunter2-secret@caching-service:8403"}, {"service_url": "http://ops:hunter2-secret@bad host"},
                    {"instances": [{"url": "https://ops:hunter2-secret@h"}]}):
        result = refused(target, "cache_info", options, "URL")
        assert "hunter2" not in result.stdout + result.stderr
    result = refused(target, "cache_invalidate", {"store_url": "s3://key:hunter2-secret@bucket", "request_id": "a", **ONE_KEY}, "is not a store")
    assert "hunter2" not in result.stdout + result.stderr


# ---- tokens

TOKENS: list[Case] = [
    ("wrong", "cache_info", {"api_token": "wrong-token-1", "admin_token": None}, "401 Unauthorized"),
    ("wrong-says-which", "cache_info", {"api_token": "wrong-token-1"}, "the token was not accepted: is api_token right"),
    ("missing", "cache_info", {"api_token": None, "admin_token": None}, "no token was sent: give api_token"),
    ("weak", "cache_info", {"api_token": "{monitor}"}, "403 Forbidden: Access Denied; the token lacks the right: is api_token of the right role?"),
    ("lines", "cache_region", {"admin_token": "first\nsecond"}, "admin_token: a token has printable ASCII characters only"),
    ("spaces", "cache_info", {"api_token": "Bearer something"}, "api_token: a token has printable ASCII characters only"),
    ("letters", "cache_info", {"monitor_token": "schlüssel"}, "monitor_token: a token has printable ASCII characters only"),
]


@pytest.mark.parametrize(("module", "options", "told"), named(TOKENS))
@pytest.mark.hazard("H03", "H04")
def test_bad_tokens(target: Service, module: str, options: dict[str, t.Any], told: str) -> None:
    given = {name: target.tokens["monitor"] if value == "{monitor}" else value for name, value in options.items()}
    result = refused(target, module, given, told)
    assert "wrong-token-1" not in result.stdout and target.tokens["monitor"] not in result.stdout


@pytest.mark.parametrize(("token", "told"), [(None, "no token was sent: give admin_token"), ("{api}", "is admin_token of the right role?")])
def test_the_service_refuses_a_write_without_the_right(target: Service, token: str | None, told: str) -> None:
    """One refused request is enough: the others are not tried."""
    admin = target.tokens["api"] if token else None
    regions = [{"name": f"new{number}"} for number in range(20)]
    result = run_module("cache_region", {**target.args, **QUICK, "admin_token": admin, "regions": regions, "concurrency": 1})
    clear_line(result, told)
    assert [record["status"] for record in target.proxy.writes()] == [403 if token else 401]


# ---- certificates, on real TLS

PLACES: list[tuple[str, str, str]] = [
    ("expired", "https", "certificate has expired; renew it"),
    ("unknown_ca", "https", "give the authority that signed it as ca_path"),
    ("wrong_host", "https", "the certificate is not accepted"),
    ("good", "http", "GET http://"),
]


@pytest.fixture(scope="module")
def places() -> Iterator[bad_places.Places]:
    with bad_places.Places() as found:
        yield found


@pytest.mark.hazard("H01")
@pytest.mark.parametrize(("place", "scheme", "told"), PLACES)
def test_bad_certificates(target: Service, places: bad_places.Places, place: str, scheme: str, told: str) -> None:
    url = f"{scheme}://127.0.0.1:{places.ports[place]}"
    refused(target, "cache_region", {"service_url": url, "ca_path": str(places.ca), **region()}, told)
    assert places.requests == [], "nothing was sent, so no token either"


@pytest.mark.parametrize(("options", "told"), [
    ({"ca_path": "{folder}/none.pem"}, "ca_path: there is no file"), ({"ca_path": "{folder}/broken.pem"}, "holds no usable certificates"),
    ({"client_cert": "{folder}/none.pem"}, "client_cert: there is no file"), ({"client_cert": "{folder}/broken.pem"}, "can't be used"),
    ({"client_cert": "{folder}/broken.pem", "client_key": "{folder}/none.key"}, "client_key: there is no file"),
    ({"client_key": "{folder}/broken.pem"}, "client_key: give client_cert too"), ({"ca_path": "{folder}/empty"}, "holds a certificate"),
], ids=lambda value: "-".join(value) if isinstance(value, dict) else "")
def test_bad_files_of_certificates(target: Service, places: bad_places.Places, options: dict[str, str], told: str) -> None:
    given = {name: value.replace("{folder}", str(places.folder)) for name, value in options.items()}
    refused(target, "cache_info", {"service_url": f"https://127.0.0.1:{places.ports['good']}", **given}, told)
    assert places.requests == []


def test_a_folder_of_authorities_need_not_be_hashed(target: Service, places: bad_places.Places) -> None:
    """It gets through TLS; what answers there is no service."""
    result = run_module("cache_info", {**target.args, "service_url": f"https://127.0.0.1:{places.ports['good']}", "ca_path": str(places.folder)})
    assert places.requests.pop() == f"GET {LIST}" and "the list of regions came back empty" in result["msg"]


# ---- answers of the service

ANSWERS: list[tuple[str, dict[str, t.Any], str]] = [
    ("html-502", {"html502": True}, "502 Bad Gateway: an HTML page: 502 Bad Gateway"),
    ("html-200", {"status": 200, "body": "<html><title>Login</title></html>"}, "the body is not JSON; it begins: <html>"),
    ("cut-answer", {"cut": 5}, "the connection ended in the middle of the answer"),
    ("half-json", {"status": 200, "body": '[{"name": "pro'}, "the body is not JSON; it begins: [{"),
    ("number", {"status": 200, "body": "42"}, "the list of regions came back as int, not as a list"),
    ("null", {"status": 200, "body": "null"}, "the list of regions came back empty"),
    ("empty", {"status": 200, "body": ""}, "the list of regions came back empty"),
    ("no-list", {"status": 200, "body": '{"error": "x", "code": 7}'}, "there is no list of regions in the answer (it has: code, error)"),
    ("list-of-numbers", {"status": 200, "body": "[1, 2]"}, "the list of regions holds int"),
    ("no-names", {"status": 200, "body": '[{"maxSize": 1}]'}, "holds one without a name"),
    ("10-mb-200", {"status": 200, "body": "x" * 10 * MIB}, "the body is not JSON; it begins: xxx"),
    ("10-mb-500", {"status": 500, "body": "y\n" * 5 * MIB}, "500 Internal Server Error: y y y"),
    ("65-mb", {"status": 200, "body": " " * 65 * MIB}, "answered with more than 64 MiB"),
    ("not-utf8-200", {"status": 200, "body_base64": base64.b64encode(b'["\xff\xfe"]').decode()}, "bytes that are not UTF-8"),
    ("not-utf8-500", {"status": 500, "body_base64": base64.b64encode(b"\xff\xfe\x00").decode()}, "500 Internal Server Error: 3 bytes that are not UTF-8"),
    ("deep", {"status": 200, "body": "[" * 100_000}, "the body is not JSON"),
    ("not-gzip", {"status": 200, "headers": {"Content-Encoding": "gzip"}, "body": "no gzip"}, "GET http://"),
    ("redirect", {"status": 302, "headers": {"Location": "https://sso.example/login"}}, "it points to https://sso.example/login, which is not followed"),
    ("redirect-nowhere", {"status": 307}, "it points to nowhere, which is not followed"),
    ("same-link", {"status": 200, "body": '{"_embedded": {"regions": [{"name": "a"}]}, "_links": {"next": {"href": "/api/v1/cache/regions?page=1"}}}'},
     "the pages of regions do not end"),
    ("same-page", {"status": 200, "body": '{"content": [{"name": "a"}], "number": 0, "last": false}'}, "the pages of regions do not end"),
    ("spring-error", {"status": 500, "body": '{"status": 500, "message": "pool\\r\\nexhausted"}'}, "500 Internal Server Error: pool exhausted"),
    ("no-such-path", {"status": 404, "body": "{}"}, "is the path right? (endpoints can name another)"),
    ("odd-status", {"status": 599, "body": "\x1b[31mred"}, "answered 599: red"),
    ("never", {"freeze": True}, "no complete answer within 1 s"),
    ("late", {"delay": 3}, "no complete answer within 1 s"),
    ("reset", {"reset": True}, "no answer (Connection reset by peer)"),
    ("wait-long", {"status": 429, "retry_after": 3600}, "asks to wait 3600 s (Retry-After)"),
]


@pytest.mark.hazard("H03")
@pytest.mark.parametrize(("fault", "told"), [pytest.param(*answer[1:], id=answer[0]) for answer in ANSWERS])
def test_bad_answers(target: Service, fault: dict[str, t.Any], told: str) -> None:
    target.proxy.break_with({"method": "GET", "path": f"^{LIST}$", **fault})
    patience = {"timeout": "PT8S"} if len(str(fault.get("body"))) > 2**20 else {}      # 65 MB take their time on a busy machine
    refused(target, "cache_region", {**region(max_size=1), **patience, "retries": 1 if "retry_after" in fault else 0}, told)


@pytest.mark.parametrize(("fault", "told"), [
    ({"status": 200, "body": "<html>fine</html>"}, "the body is not JSON"), ({"status": 200, "body": "[]"}, "answered 200 without a status"),
    ({"status": 500, "body": "boom"}, "500 Internal Server Error: boom"), ({"status": 200, "body": '{"status": {"odd": 1}}'}, "status UNKNOWN"),
    ({"html502": True}, "502 Bad Gateway"), ({"status": 404}, "404 Not Found"),
], ids=["html", "list", "500", "no-status", "502", "404"])
def test_bad_answers_of_health(target: Service, fault: dict[str, t.Any], told: str) -> None:
    target.proxy.break_with({"path": "health", **fault})
    refused(target, "cache_health_info", {"single_instance": True}, told)


def test_an_acknowledged_write_that_was_not_done(target: Service) -> None:
    """201 with rubbish, and nothing created: reading back finds it out."""
    target.proxy.break_with({"method": "POST", "status": 201, "body": "}garbage{"})
    result = run_module("cache_region", {**target.args, **QUICK, **region()})
    clear_line(result, "new (create): answered with success, but the region is not there")
    assert result["failures"][0]["name"] == "new"


@pytest.mark.parametrize(("fields", "told"), [
    ({"eviction_policy": "BEST"}, "evictionPolicy"), ({"max_size": 2**70}, "maxSize"), ({"extra": {"replicationFactor": -3}}, "replicationFactor"),
])
def test_what_the_service_refuses(target: Service, fields: dict[str, t.Any], told: str) -> None:
    result = run_module("cache_region", {**target.args, **QUICK, **region(**fields)})
    clear_line(result, told)
    assert "400 Bad Request" in result["msg"] and len(target.proxy.writes()) == 1


# ---- Redis and the store

def test_redis_that_refuses(target: Service, places: bad_places.Places) -> None:
    good = {**target.redis_args, "max_percent": 100, **BY_PATTERN}
    refused(target, "cache_invalidate", {**good, "redis_password": "not-the-password"}, "does not accept the user or password: set redis_username")
    refused(target, "cache_invalidate", {**good, "redis_password": None}, "does not accept the user or password")
    refused(target, "cache_invalidate", {**good, "redis_username": "nobody"}, "does not accept the user or password")
    refused(target, "cache_invalidate", {**good, "redis_nodes": [places.single_redis], "redis_password": None}, "is no cluster")
    refused(target, "cache_invalidate", {**good, "redis_tls": True, "redis_nodes": [places.single_redis], "redis_timeout": 1}, "Redis at ")
    refused(target, "cache_invalidate", {**good, "redis_tls": True, "redis_ca_path": "{none}"}, "redis_ca_path: there is no file")
    refused(target, "cache_invalidate", {**good, "key_format": "other:{region}:{key}"}, "no key in Redis is named other:{region}:{key}")


STORES: list[tuple[str, dict[str, t.Any], str]] = [
    ("none", {}, "store_url: give a store"), ("s3", {"store_url": "s3://b/prefix"}, "is not a store; use file:///directory or s3://bucket/prefix"),
    ("s3-prefix", {"store_url": "s3://bucket/../x"}, "can't be the name of an object"), ("s3-query", {"store_url": "s3://bucket/x?y"}, "is not a store"),
    ("relative", {"store_url": "file://relative/folder"}, "is not a store"), ("path", {"store_url": "/var/lib/exalt"}, "is not a store"),
    ("root", {"store_url": "file:///"}, "is not a store"), ("scheme", {"store_url": "ftp://x/y"}, "is not a store"),
    ("bracket", {"store_url": "file://[x/y"}, "is not a store"), ("nul", {"store_url": "file:///a%00b"}, "is not a store"),
    ("unwritable", {"store_url": "file:///proc/exalt"}, "can't write to the store /proc/exalt"),
    ("file-in-the-way", {"store_url": "file://{folder}/file"}, "the store {folder}/file: Not a directory"),
    ("id-empty", {"request_id": ""}, "request_id: '' must be letters, digits"), ("id-path", {"request_id": "../../etc/passwd"}, "request_id: '../../etc"),
    ("id-long", {"request_id": "x" * 200}, "(at most 128)"), ("id-line", {"request_id": "a\n"}, "request_id: 'a\\n' must be"),
]


@pytest.mark.parametrize(("options", "told"), [pytest.param(*store[1:], id=store[0]) for store in STORES])
def test_bad_stores(target: Service, tmp_path: t.Any, options: dict[str, t.Any], told: str) -> None:
    (tmp_path / "file").write_text("in the way")
    base = {"request_id": "deploy-1", **({"store_url": f"file://{tmp_path}/store"} if "request_id" in options else {}), **ONE_KEY}
    given = {name: value.replace("{folder}", str(tmp_path)) for name, value in options.items()}
    refused(target, "cache_invalidate", {**base, **given}, told.replace("{folder}", str(tmp_path)))


@pytest.mark.hazard("H19")
@pytest.mark.parametrize("name", ["started", "finished", "part-0", "part-x"])
@pytest.mark.parametrize("content", ["{half", "[]", b"\xff\xfe", ""], ids=["half", "list", "not-utf8", "empty"])
def test_damaged_records(target: Service, tmp_path: t.Any, name: str, content: str | bytes) -> None:
    folder = tmp_path / "requests" / "deploy-1"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(target, "cache_invalidate", {"store_url": f"file://{tmp_path}", "request_id": "deploy-1", **ONE_KEY}, f"requests/deploy-1/{name}")


def test_nothing_of_all_this_has_changed_the_service(stocked: Service) -> None:
    stage = Stage(stocked)
    assert list(stage.regions()) == ["products"] and stage.there("products", "k1") and stage.there("products", "k2")


def test_a_plain_success_is_no_clear_failure(target: Service) -> None:
    """Positive control: the check of this file finds a success, a traceback and a second line."""
    fine = run_module("cache_info", {**target.args, **QUICK})
    with pytest.raises(AssertionError):
        clear_line(fine, "")
    for said in ("two\nlines", "Traceback (most recent call last)", "internal error, please report it"):
        bad = ModuleResult(failed=True, msg=said)
        bad.rc, bad.stdout, bad.stderr, bad.seconds, bad.crashed = 1, said, "", 0.1, False
        with pytest.raises(AssertionError):
            clear_line(bad, said)
