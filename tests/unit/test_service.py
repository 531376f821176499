# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a service may differ from the guide (endpoints), and how values are put into requests."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._endpoints import ENDPOINTS, find, table
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._http import check_url
from ansible_collections.exalt.caching.plugins.module_utils._service import Service, segment


@pytest.mark.parametrize("name", ["list_regions", "S027", "s155", "GET /api/v1/cache/regions", " list_regions "])
def test_an_endpoint_by_name_operation_or_call(name: str) -> None:
    assert find(name) == "list_regions"


def test_an_override_changes_only_what_it_says() -> None:
    changed = table({"S027": {"path": "/v2/regions", "token": "ADMIN"}})
    assert changed["list_regions"] == ENDPOINTS["list_regions"]._replace(path="/v2/regions", token="admin")
    assert changed["create_region"] == ENDPOINTS["create_region"] and ENDPOINTS["list_regions"].path == "/api/v1/cache/regions"


@pytest.mark.parametrize(("given", "told"), [
    ({"list_region": {"path": "/x"}}, "did you mean list_regions?"), ({"zzz": {"path": "/x"}}, "the known ones are"),
    ({"list_regions": "/x"}, "takes method, path and token"), ({"list_regions": {}}, "takes method, path and token"),
    ({"list_regions": {"pathh": "/x"}}, "takes method, path and token"), ({"list_regions": {"path": "x"}}, "a path that begins with /"),
    ({"list_regions": {"path": "/a b"}}, "a path that begins with /"), ({"list_regions": {"method": "FETCH"}}, "an HTTP method"),
    ({"list_regions": {"token": "root"}}, "one of api, admin, monitor, none"), ({"delete_region": {"path": "/x/{wrong}"}}, "holds {region}"),
])
def test_a_wrong_override_is_refused_in_one_line(given: dict[str, t.Any], told: str) -> None:
    with pytest.raises(CachingError) as caught:
        table(given)
    assert told in caught.value.message and "\n" not in caught.value.message


def test_every_operation_belongs_to_one_endpoint() -> None:
    names = [operation for endpoint in ENDPOINTS.values() for operation in endpoint.operations]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("text", "encoded"), [
    ("a b", "a%20b"), ("a/b", "a%2Fb"), ("ü", "%C3%BC"), ("a?b#c%d", "a%3Fb%23c%25d"), ("user:1", "user%3A1"), ("...", "..."),
])
def test_names_are_encoded(text: str, encoded: str) -> None:
    assert segment(text) == encoded


@pytest.mark.parametrize("text", ["", ".", ".."])
def test_names_that_a_path_would_swallow(text: str) -> None:
    with pytest.raises(CachingError):
        segment(text)


@pytest.mark.parametrize("url", [
    "caching:8403", "ftp://x", "http://", "http://x:0", "http://x:99999", "http://a b", "http://x/?q=1", "http://x/#f", "http://x:p", "http://[::1",
])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(CachingError, match="service_url"):
        check_url(url, "service_url")


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(CachingError) as caught:
        check_url("https://admin:hunter2@caching:8403", "service_url")
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(("url", "management", "tls"), [
    ("http://caching-service:8403", "http://caching-service:8404", "https://caching-service:8443"),
    ("https://[::1]:8403/gateway/", "https://[::1]:8404/gateway", "https://[::1]:8443/gateway"),
    ("https://cache.example.com", "https://cache.example.com:8404", "https://cache.example.com:8443"),
])
def test_ports_that_are_not_given(url: str, management: str, tls: str) -> None:
    (place,) = Service({"service_url": url}).processes
    assert (place.management, place.tls) == (management, tls)


def test_the_service_is_one_of_its_instances() -> None:
    one = {"name": "a", "url": "http://x:1", "management_url": "http://x:2"}
    assert Service({"service_url": "http://x:1/", "instances": [one]})._any[0].management == "http://x:2"


def test_what_acts_on_a_process_needs_the_instances() -> None:
    with pytest.raises(CachingError, match="single_instance: true"):
        Service({"service_url": "http://lb:8403"}).every_process(single_instance=False)
    assert len(Service({"service_url": "http://lb:8403"}).every_process(single_instance=True)) == 1


def test_a_token_over_http_is_warned_of() -> None:
    assert Service({"service_url": "http://cache:8403", "api_token": "x"}).warnings()
    assert not Service({"service_url": "http://127.0.0.1:8403", "api_token": "x"}).warnings()
    assert not Service({"service_url": "https://cache:8403", "api_token": "x"}).warnings()
