# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways in which services differ. A service can have several of them, so few need to be started."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.contract.conftest import REGIONS, Api, wait_until
from tests.fleet.service.settings import DIALECTS, SettingsError, load

Make = Callable[..., Api]
ADMIN = "/admin/cache/regions/products"
MERGING = ("put-merges", "wrapped", "iso")
MAPPED = ("map", "seconds", "lower-case-enums")
NULLS = ("null-fields", "no-patch", "single-get")
PAGED = ("absent-fields", "immutable", "paged")
LINKED = ("ignores-compression", "hal", "no-single-get")
COUNTLESS = ("no-counts", "lists-need-admin")
TOKENS = {"API_TOKEN": "a", "MONITOR_TOKEN": "m", "ADMIN_TOKEN": "x"}


def test_options_are_checked() -> None:
    for wrong in (["--dialect", "klingon"], ["--dialect", "paged,hal"], ["--redis", "here"], ["--tls-port", "8443"]):
        with pytest.raises(SettingsError):
            load(wrong, TOKENS)
    with pytest.raises(SettingsError, match="MONITOR_TOKEN"):
        load([], {"API_TOKEN": "a"})


def test_dialects_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert load(["--list-dialects"], TOKENS) is None
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(DIALECTS)


def test_put_merges(make_api: Make) -> None:
    api = make_api(*MERGING)
    api.region("products", description="goods", enableCompression=True)
    body = api("PUT", f"{REGIONS}/products", {"maxSize": 5}).body
    assert (body["maxSize"], body["description"], body["enableCompression"]) == (5, "goods", True)


@pytest.mark.parametrize("amount", [0, 20, 45])
def test_paged(make_api: Make, amount: int) -> None:
    api = make_api(*PAGED)
    for number in range(amount):
        api.region(f"r{number:02}")
    names: list[str] = []
    for number in range(max(1, -(-amount // 20))):
        page = api("GET", f"{REGIONS}?page={number}").body
        assert (page["number"], page["size"], page["totalElements"]) == (number, 20, amount)
        names += [region["name"] for region in page["content"]]
    assert page["last"]
    assert names == [f"r{number:02}" for number in range(amount)]
    assert api("GET", f"{REGIONS}?page=x").status == 400


def test_hal(make_api: Make) -> None:
    api = make_api(*LINKED)
    for number in range(45):
        api.region(f"r{number:02}")
    path, names = REGIONS, []
    while path:
        page = api("GET", path).body
        names += [region["name"] for region in page["_embedded"]["regions"]]
        path = page["_links"].get("next", {}).get("href", "")
    assert names == [f"r{number:02}" for number in range(45)]


def test_wrapped_and_map(make_api: Make) -> None:
    for dialects in (MERGING, MAPPED):
        api = make_api(*dialects)
        api.region("products", maxSize=5)
        body = api("GET", REGIONS).body
        region = body["regions"][0] if "wrapped" in dialects else body["products"]
        assert (region["name"], region["maxSize"]) == ("products", 5)


@pytest.mark.parametrize(
    ("dialects", "sent", "answered"),
    [((), "PT2H", "PT120M"), ((), "PT90S", "PT90S"), ((), "P1DT0.5S", "PT86400.5S"), (MAPPED, "PT2H", 7200),
     (MAPPED, 90, 90), (MAPPED, "PT1.5S", 1.5), (MERGING, "PT120M", "PT120M"), (MERGING, "pt2h", "pt2h")],
)
def test_durations(make_api: Make, dialects: tuple[str, ...], sent: object, answered: object) -> None:
    api = make_api(*dialects)
    assert api.region("products", defaultTtl=sent)["defaultTtl"] == answered
    assert api.regions()["products"]["defaultTtl"] == answered


def test_single_get(make_api: Make) -> None:
    api = make_api(*NULLS)
    created = api.region("products")
    assert api("GET", f"{REGIONS}/products", token="api").body == created
    assert api("GET", f"{REGIONS}/absent", token="api").status == 404


def test_null_and_absent_fields(make_api: Make) -> None:
    for dialects in (NULLS, PAGED):
        api = make_api(*dialects)
        api.region("products", enableEncryption=True, description="goods")
        region = api.regions()["products"]
        for field in ("enableEncryption", "description"):
            assert region.get(field) is None
            assert (field in region) == ("null-fields" in dialects)


def test_ignores_compression(make_api: Make) -> None:
    api = make_api(*LINKED)
    assert api.region("products", enableCompression=True)["enableCompression"] is False
    for method, path in (("PUT", f"{REGIONS}/products"), ("PATCH", ADMIN)):
        answer = api(method, path, {"enableCompression": True, "maxSize": 5})
        assert (answer.status, answer.body["enableCompression"], answer.body["maxSize"]) == (200, False, 5)


def test_accepted(make_api: Make) -> None:
    api = make_api("accepted")
    assert api("POST", REGIONS, {"name": "products"}).status == 202
    assert api.regions() == {}
    began = time.monotonic()
    assert wait_until(lambda: "products" in api.regions())
    assert time.monotonic() - began > 0.2
    assert api("POST", REGIONS, {"name": "products"}).status == 409
    assert api("POST", REGIONS, {"name": "products", "maxSize": 0}).status == 400
    assert api("PUT", f"{REGIONS}/absent", {}).status == 404
    assert api("PUT", f"{REGIONS}/products", {"maxSize": 5}).status == 202
    assert api.regions()["products"]["maxSize"] == 10000
    assert wait_until(lambda: api.regions()["products"]["maxSize"] == 5)
    api.fill("products", "a")
    assert api("DELETE", f"{REGIONS}/products/clear").status == 202
    assert api.size("products") == 1
    assert wait_until(lambda: api.size("products") == 0)
    assert api("DELETE", f"{REGIONS}/products").status == 202
    assert wait_until(lambda: api.regions() == {})


def test_no_counts(make_api: Make) -> None:
    api = make_api(*COUNTLESS)
    api.region("products")
    api.fill("products", "a", "b")
    assert not {"size", "memoryUsage"} & api.regions()["products"].keys()
    assert not {"size", "memoryUsage"} & api("GET", f"{REGIONS}/products/stats").body.keys()
    answer = api("POST", "/api/v1/cache/invalidate/pattern", {"pattern": "a", "regions": ["products"]})
    assert (answer.status, answer.body) == (204, None)
    assert api.keys("products", "a", "b") == {"b"}


def test_immutable(make_api: Make) -> None:
    api = make_api(*PAGED)
    api.region("x", evictionPolicy="LFU")
    answer = api("PUT", f"{REGIONS}/x", {"evictionPolicy": "LRU", "maxSize": 5})
    assert answer.status == 409
    assert answer.body["message"] == "Field 'evictionPolicy' of region 'x' cannot be changed after creation"
    assert api.regions()["x"]["maxSize"] == 10000
    for body in ({"maxSize": 5}, {"maxSize": 6, "evictionPolicy": "lfu"}):
        assert api("PUT", f"{REGIONS}/x", body).status == 200
    assert (api.regions()["x"]["maxSize"], api.regions()["x"]["evictionPolicy"]) == (6, "LFU")


def test_no_patch(make_api: Make) -> None:
    api = make_api(*NULLS)
    api.region("products")
    patch = api("PATCH", ADMIN, {"maxSize": 5})
    assert (patch.status, patch.headers["Allow"]) == (405, "PUT")
    assert api("PUT", ADMIN, {"maxSize": 5}).status == 404
    assert api("PUT", f"{REGIONS}/products", {"maxSize": 5}).status == 200


def test_lists_need_admin(make_api: Make) -> None:
    api = make_api(*COUNTLESS)
    api.region("products")
    for path in (REGIONS, f"{REGIONS}/products/stats"):
        assert [api("GET", path, token=token).status for token in ("api", "admin")] == [403, 200]


def test_lower_case_enums(make_api: Make) -> None:
    api = make_api(*MAPPED)
    assert api.region("products", evictionPolicy="LFU")["evictionPolicy"] == "lfu"
    assert api("GET", REGIONS).body["products"]["defaultTtl"] == 3600
