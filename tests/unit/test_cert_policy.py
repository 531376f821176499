# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a certificate is renewed and why: names, thresholds, differences, over their whole range."""

from __future__ import annotations

import ipaddress
import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._cert_model import Facts
from ansible_collections.exalt.caching.plugins.module_utils._cert_names import Name, constraint, covers, outside, parse, parse_all, uncovered
from ansible_collections.exalt.caching.plugins.module_utils._cert_policy import (
    SKEW, Threshold, Wish, by_others, differences, due, fitting, lifetime, reasons, span, threshold,
)
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from hypothesis import given
from hypothesis import strategies as some

DAY = 86400.0
NOW = 1_800_000_000.0
BOTH = frozenset(("server", "client"))
WISH = Wish("caching-service", tuple(parse_all(["caching-service", "*.redis.svc", "10.0.0.7"], "n")))
GOOD = Facts(names=WISH.names, common_name="caching-service", usages=BOTH, not_before=NOW - 10 * DAY, not_after=NOW + 80 * DAY, issuer="CN=ca")
P30D = Threshold(30 * DAY)


# ---- names


@pytest.mark.parametrize(("text", "kind", "shown"), [
    ("caching-service", "DNS", "caching-service"), ("Caching.Example.COM.", "DNS", "caching.example.com"), ("*.redis.svc", "DNS", "*.redis.svc"),
    ("10.0.0.7", "IP", "10.0.0.7"), ("[::1]", "IP", "::1"), ("IP:2001:db8::0001", "IP", "2001:db8::1"), ("DNS:10.0.0.7", "DNS", "10.0.0.7"),
    ("URI:spiffe://fleet/service", "URI", "URI:spiffe://fleet/service"), ("_srv.example.com", "DNS", "_srv.example.com"),
    ("xn--bcher-kva.example", "DNS", "xn--bcher-kva.example"),
])
def test_names(text: str, kind: str, shown: str) -> None:
    name = parse(text, "n")
    assert (name.kind, str(name)) == (kind, shown) and parse(shown if kind != "DNS" else f"DNS:{shown}", "n") == name


@pytest.mark.parametrize("text", [
    "", "*", "a b", "a..b", "-a", "a-", "x" * 64, "a." * 127 + "a", "*.*.svc", "a.*.svc", "bücher.example", "IP:300.0.0.1", "URI:nothing", "a/b", "a:b",
    "*a.svc", "a\n.b", "DNS:", "10.0.0.256",
])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(CachingError, match="^subject_alt_names: ") as told:
        parse(text, "subject_alt_names")
    assert "\n" not in told.value.message


@pytest.mark.parametrize(("have", "wanted", "good"), [
    ("a.svc", "a.svc", True), ("*.svc", "a.svc", True), ("*.svc", "a.b.svc", False), ("*.svc", "svc", False), ("*.svc", "*.svc", True),
    ("*.svc", "*.b.svc", False),
    ("a.svc", "*.svc", False), ("10.0.0.1", "10.0.0.1", True), ("10.0.0.1", "DNS:10.0.0.1", False), ("URI:s://a", "URI:s://a", True),
    ("URI:s://a", "URI:s://b", False),
])
def test_which_name_covers_which(have: str, wanted: str, good: bool) -> None:
    assert covers(parse(have, "n"), parse(wanted, "n")) is good
    assert uncovered([parse(have, "n")], [parse(wanted, "n")]) == ([] if good else [str(parse(wanted, "n"))])


@given(some.lists(some.sampled_from("abc"), min_size=2, max_size=4), some.lists(some.sampled_from("abc"), min_size=1, max_size=4))
def test_a_wildcard_is_one_label(host: list[str], domain: list[str]) -> None:
    wild, name = Name("DNS", "*." + ".".join(domain)), Name("DNS", ".".join(host))
    assert covers(wild, name) is (len(host) == len(domain) + 1 and host[1:] == domain)


@pytest.mark.parametrize(("limits", "bad"), [
    ([], []), (["redis.svc", "caching-service", "10.0.0.0/8"], []), (["svc"], ["caching-service"]), (["caching-service", ".svc"], []),
    (["10.1.0.0/16"], ["10.0.0.7"]),
    (["edis.svc", "caching-service"], ["*.redis.svc"]),
])
def test_what_an_authority_may_not_sign(limits: list[str], bad: list[str]) -> None:
    assert outside(WISH.names, [constraint(text, "c") for text in limits]) == bad


@pytest.mark.parametrize("text", ["", "*.svc", "10.0.0.7/8", "URI:a://b", "a b"])
def test_what_is_no_constraint(text: str) -> None:
    with pytest.raises(CachingError, match="^ca_name_constraints: "):
        constraint(text, "ca_name_constraints")


def test_a_network_is_a_constraint() -> None:
    assert constraint("10.0.0.0/8", "c") == ("IP", ipaddress.ip_network("10.0.0.0/8")) and constraint(".svc", "c") == ("DNS", "svc")


# ---- how much time has to be left


@pytest.mark.parametrize(("text", "found"), [
    ("P30D", Threshold(30 * DAY)), ("86400", Threshold(DAY)), ("33%", Threshold(share=0.33)), ("0.5%", Threshold(share=0.005)),
    ("99.9 %", Threshold(share=0.999)), ("PT0S", Threshold()),
])
def test_thresholds(text: str, found: Threshold) -> None:
    read = threshold(text, 90 * DAY)
    assert read.seconds == found.seconds and read.share == pytest.approx(found.share)


@pytest.mark.parametrize("text", ["0%", "100%", "-3%", "%", "a%", "33%%", "P1M", "P90D", "P100D", "soon", ""])
def test_thresholds_that_are_refused(text: str) -> None:
    with pytest.raises(CachingError, match="^renew_before: "):
        threshold(text, 90 * DAY)


@pytest.mark.parametrize("text", ["PT5M", "0", "P99999D", "P1Y", "x"])
def test_lifetimes_that_are_refused(text: str) -> None:
    with pytest.raises(CachingError, match="^validity: "):
        lifetime(text, "validity")


@given(some.floats(0, 100 * DAY), some.floats(601, 100 * DAY), some.floats(0.01, 0.99))
def test_due_is_a_matter_of_what_is_left(left: float, whole: float, share: float) -> None:
    have = GOOD._replace(not_before=NOW + left - whole, not_after=NOW + left)
    assert bool(due(have, Threshold(share=share), NOW)) is (left <= 0 or left <= share * have.lifetime)
    assert bool(due(have, P30D, NOW)) is (left <= 30 * DAY)


@pytest.mark.parametrize(("seconds", "text"), [(DAY, "1 day"), (12.34 * DAY, "12.3 days"), (7200, "2 hours"), (90, "1.5 minutes"), (5, "5 s")])
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_what_has_no_room_is_told() -> None:
    assert fitting("common_name", "x" * 64) == "x" * 64
    with pytest.raises(CachingError, match="^common_name: it has 65 bytes"):
        fitting("common_name", "x" * 65)
    with pytest.raises(CachingError, match="^common_name: it has 66 bytes"):
        fitting("common_name", "ö" * 33)


# ---- reasons


@pytest.mark.hazard("H52")
def test_a_good_certificate_is_left_alone() -> None:
    assert reasons(GOOD, WISH, P30D, NOW) == []


TABLE: dict[str, tuple[dict[str, t.Any], str]] = {
    "due": ({"not_after": NOW + 12 * DAY}, "it expires in 12 days, and renew_before is 30 days"),
    "expired": ({"not_after": NOW - 1}, "it expired on 2027-"),
    "early": ({"not_before": NOW + 60}, "it is valid from 2027-"),
    "lacking": ({"names": WISH.names[:2]}, "it lacks the names 10.0.0.7"),
    "more": ({"names": (*WISH.names, Name("DNS", "old"))}, "it has the names old, which are not declared"),
    "nameless": ({"names": ()}, "it lacks the names caching-service, *.redis.svc, 10.0.0.7"),
    "common": ({"common_name": "x"}, "its common name is 'x', declared is 'caching-service'"),
    "organization": ({"organization": "x"}, "its organization is 'x', declared is ''"),
    "key": ({"key_type": "rsa-2048"}, "its key type is 'rsa-2048', declared is 'ecdsa-p256'"),
    "usage": ({"usages": frozenset(["server"])}, "its usage is server, declared is client and server"),
    "unlimited": ({"usages": None}, "its usage is no limits, declared is"),
    "identifiers": ({"key_ids": False}, "it has no key identifiers"),
    "authority": ({"authority": True}, "it is the certificate of an authority"),
}


@pytest.mark.parametrize(("change", "told"), TABLE.values(), ids=TABLE)
def test_each_reason_is_told(change: dict[str, t.Any], told: str) -> None:
    found = reasons(GOOD._replace(**change), WISH, P30D, NOW)
    assert len(found) == 1 and found[0].startswith(told)


def test_other_reasons() -> None:
    assert reasons(None, WISH, P30D, NOW) == ["there is no certificate yet"]
    assert reasons(None, WISH, P30D, NOW, "tls.crt: it can't be read") == ["tls.crt: it can't be read"]
    assert reasons(GOOD, WISH, P30D, NOW, "its key belongs to another certificate") == ["its key belongs to another certificate"]
    assert reasons(GOOD, WISH, P30D, NOW, force=True) == ["force was given"]


@pytest.mark.parametrize(("have", "given", "good"), [
    ({"common_name": "R11", "organization": "Others"}, (False, False), True), ({"common_name": ""}, (False, False), True),
    ({"common_name": "R11"}, (True, False), False), ({"organization": "Others"}, (False, True), False), ({}, (True, True), True),
    ({"common_name": ""}, (True, True), True),      # authorities that put none there at all
])
def test_of_a_subject_by_others_only_what_is_declared_counts(have: dict[str, str], given: tuple[bool, bool], good: bool) -> None:
    found = GOOD._replace(**have)
    assert (reasons(found, by_others(WISH, found, *given), P30D, NOW) == []) is good
    assert by_others(WISH, None, *given) == WISH


def test_order_of_names_makes_no_difference() -> None:
    assert differences(GOOD._replace(names=WISH.names[::-1]), WISH) == []


def test_an_authority_that_ends_first_is_no_reason_to_renew_again_and_again() -> None:
    short = GOOD._replace(not_after=NOW + 5 * DAY)
    assert reasons(short, WISH, P30D, NOW, authority_end=NOW + 5 * DAY) == []
    assert reasons(short, WISH, P30D, NOW, authority_end=NOW + 6 * DAY) != []
    assert reasons(short._replace(not_after=NOW - 1), WISH, P30D, NOW, authority_end=NOW - 1) != [], "what expired is never good"


@given(some.integers(1, 999), some.floats(600, 400 * DAY), some.floats(0, 3))
def test_after_a_renewal_nothing_is_left_to_do(share: int, whole: float, place: float) -> None:
    """Whatever the share and the lifetime, also where an authority cut it short: what was just made is good, or was refused before."""
    text = f"{share / 10}%"
    try:
        limit = threshold(text, whole)
    except CachingError as error:
        assert "every run would renew" in error.message and share / 1000 * (whole + SKEW) >= whole
        return
    end = NOW + whole * place
    fresh = GOOD._replace(not_before=NOW - SKEW, not_after=min(NOW + whole, end))
    if fresh.not_after > NOW + 1:
        again = reasons(fresh, WISH._replace(lifetime=whole), limit, NOW, authority_end=end)
        assert again == [], "cut short or not"
