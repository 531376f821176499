# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How endpoints are judged by what they serve."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._cert_model import Facts
from ansible_collections.exalt.caching.plugins.module_utils._cert_names import parse_all
from ansible_collections.exalt.caching.plugins.module_utils._cert_served import Limits, Look, failures, metrics, plain, row

DAY = 86400.0
NOW = 1_800_000_000.0
PRINT = "ab" * 32
LEAF = Facts(names=tuple(parse_all(["caching-service", "10.0.0.7"], "n")), not_before=NOW - DAY, not_after=NOW + 60 * DAY, fingerprint=PRINT, subject="CN=leaf")
ROOT = LEAF._replace(names=(), not_after=NOW + 900 * DAY, subject="CN=root", fingerprint="cd" * 32)
LIMITS = Limits(30 * DAY, 7 * DAY)
GOOD = Look("10.0.0.7:8443", (LEAF, ROOT), status=200)
NAMES = parse_all(["caching-service"], "n")


def judged(look: Look, expected: str = PRINT) -> dict[str, t.Any]:
    return row(look, NAMES, expected, LIMITS, NOW)


def test_what_is_right() -> None:
    found = judged(GOOD)
    assert found["problems"] == [] and found["chain_ok"] and found["names_ok"] and found["expected"] and found["reachable"] and found["days_left"] == 60.0
    assert [one["subject"] for one in found["chain"]] == ["CN=leaf", "CN=root"] and found["status"] == 200


TABLE: dict[str, tuple[Look, str]] = {
    "chain": (GOOD._replace(chain_problem="self-signed certificate"), "clients refuse its chain: self-signed certificate"),
    "names": (GOOD._replace(facts=(LEAF._replace(names=()),)), "it is not valid for caching-service"),
    "host": (GOOD._replace(name_problem="it is not valid for 10.0.0.9"), "it is not valid for 10.0.0.9"),
    "other": (GOOD._replace(facts=(LEAF._replace(fingerprint="00" * 32),)), "it serves 0000000000000000…, expected is abababababababab…"),
    "answer": (GOOD._replace(status=503), "it answered with 503"),
    "soon": (GOOD._replace(facts=(LEAF._replace(not_after=NOW + 12 * DAY), ROOT)), "it expires in 12 days, on 2027-"),
    "over": (GOOD._replace(facts=(LEAF._replace(not_after=NOW - 1), ROOT)), "it expired on 2027-"),
    "root-soon": (GOOD._replace(facts=(LEAF, ROOT._replace(not_after=NOW + DAY))), "CN=root in its chain expires in 1 day, on 2027-"),
    "early": (GOOD._replace(facts=(LEAF._replace(not_before=NOW + 1),)), "it is valid from 2027-"),
    "gone": (Look("10.0.0.7:8443", problem="Connection refused"), "Connection refused"),
    "nothing": (Look("10.0.0.7:8443"), "it showed no certificate"),
}


@pytest.mark.parametrize(("look", "told"), TABLE.values(), ids=TABLE)
def test_each_problem_is_told(look: Look, told: str) -> None:
    found = judged(look)
    assert len(found["problems"]) == 1 and found["problems"][0].startswith(told), found["problems"]
    assert set(found) == set(judged(GOOD)), "every endpoint has the same shape"


@pytest.mark.parametrize("look, names, expected", [
    (GOOD, [], True), (GOOD, NAMES, True), (GOOD._replace(chain_problem="self-signed"), [], None), (GOOD._replace(chain_problem="self-signed"), NAMES, True),
    (GOOD._replace(name_problem="it is not valid for a"), [], False), (GOOD, parse_all(["other"], "n"), False)])
def test_names_are_right_wrong_or_were_not_compared(look: Look, names: t.Any, expected: bool | None) -> None:
    assert row(look, names, "", LIMITS, NOW)["names_ok"] is expected


def test_what_was_served_is_shown_with_its_problem() -> None:
    found = judged(GOOD._replace(chain_problem="unable to get local issuer certificate", problem="no answer within 5 s"))
    assert found["fingerprint"] == PRINT and not found["chain_ok"] and not found["reachable"] and len(found["problems"]) == 2


def test_fingerprints_are_compared_however_they_are_written() -> None:
    colons = ":".join(PRINT[place:place + 2] for place in range(0, 64, 2)).upper()
    assert plain(f" {colons} ") == PRINT and judged(GOOD, colons)["expected"] is True
    assert judged(GOOD, "")["expected"] is None and judged(GOOD, "00" * 32)["expected"] is False


@pytest.mark.parametrize(("days", "limit", "count"), [(60, 7, 0), (7, 7, 1), (6.9, 7, 1), (-1, 0, 1), (1, 0, 0), (-1, None, 0)])
def test_which_let_the_task_fail(days: float, limit: float | None, count: int) -> None:
    looks = [GOOD._replace(facts=(LEAF._replace(not_after=NOW + days * DAY),)), Look("gone:1", problem="refused")]
    found = failures(looks, Limits(0, None if limit is None else limit * DAY), NOW)
    assert len(found) == count and all(text.startswith("10.0.0.7:8443 ex") for text in found)


def test_gauges() -> None:
    rows = [judged(GOOD), judged(Look("gone:1", problem="refused"))]
    assert metrics(rows) == [
        {"name": "exalt_cache_certificate_ok", "labels": {"endpoint": "10.0.0.7:8443"}, "value": 1},
        {"name": "exalt_cache_certificate_chain_ok", "labels": {"endpoint": "10.0.0.7:8443"}, "value": 1},
        {"name": "exalt_cache_certificate_days_left", "labels": {"endpoint": "10.0.0.7:8443"}, "value": 60.0},
        {"name": "exalt_cache_certificate_ok", "labels": {"endpoint": "gone:1"}, "value": 0},
    ]
