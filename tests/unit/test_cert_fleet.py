# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order the certificates of a fleet change: a truth table over what its places hold."""

from __future__ import annotations

import base64
import hashlib
import typing as t

import pytest

from ansible_collections.exalt.caching.plugins.module_utils import _cert_fleet as fleet
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError

NOW = "2026-11-28T00:00:00Z"


def pem(name: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(name.encode()).decode()}\n-----END CERTIFICATE-----\n"


def mark(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def place(name: str, part: str = "service", provider: str = "ownca") -> fleet.Data:
    return {"name": name, "part": part, "provider": provider, "endpoints": [f"{name}:8443"], "verify": [], "options": {}}


def look(trusted: str = "", due: bool = False, until: str = "2027-01-01T00:00:00Z", activated: bool = True, **more: t.Any) -> fleet.Data:
    """What cert_rotate tells of a place: roots by their letters, of which the first has signed; none at all where there is no certificate yet."""
    roots = [{"fingerprint": mark(one), "subject": f"CN={one}", "certificate_content": pem(one)} for one in trusted]
    leaf = {"issuer": f"CN={trusted[0]}", "not_before": "2026-01-01T00:00:00Z", "not_after": until} if trusted else None
    return {"certificate": leaf, "trusted": roots, "version": 1 if trusted else 0, "activated": activated and bool(trusted), "csr": None,
            "reason": "", "renewed": False, "changed": due, "diff": {"after": {"requested": ["a"]} if due else {}}, **more}


def back(trusted: str) -> fleet.Data:
    """What it tells of a place that has a version before, by its roots."""
    before = look(trusted)
    return {"reason": "version 2 is rolled back to version 1", "changed": True, "previous": before["certificate"], "previous_trusted": before["trusted"]}


def rounds(looks: list[fleet.Data], chain: str = "A", trusted: t.Any = (), until: str = "narrowed", provider: str = "ownca") -> list[tuple[str, str, str]]:
    """Of each round its name, its places and whom they trust then."""
    places = [place(f"p{number}", provider=provider) for number in range(len(looks))]
    found = fleet.plan(places, looks, "".join(map(pem, chain)), list(trusted), until, NOW)
    names = {pem(one): one for one in "ABCX"}
    return [(row["name"], " ".join(row["places"]), "".join(sorted(names[text] for text in row["trusted"]))) for row in found["rounds"]]


@pytest.mark.parametrize("looks, options, expected", [
    ([look("A"), look("A")], {}, []),
    ([look(due=True), look(due=True)], {}, [("leaves", "p0 p1", "A")]),
    ([look("A", due=True), look("A")], {}, [("leaves", "p0", "A")]),
    # another authority: from nothing done to all done, and cut off at each place
    ([look("X", due=True), look("X", due=True)], {}, [("widen", "p0 p1", "AX"), ("leaves", "p0 p1", "AX"), ("narrow", "p0 p1", "A")]),
    ([look("XA", due=True), look("X", due=True)], {}, [("widen", "p1", "AX"), ("leaves", "p0 p1", "AX"), ("narrow", "p0 p1", "A")]),
    ([look("XA", due=True), look("XA", due=True)], {}, [("leaves", "p0 p1", "AX"), ("narrow", "p0 p1", "A")]),
    ([look("AX"), look("XA", due=True)], {}, [("leaves", "p1", "AX"), ("narrow", "p0 p1", "A")]),
    ([look("AX"), look("AX")], {}, [("narrow", "p0 p1", "A")]),
    ([look("A"), look("AX")], {}, [("narrow", "p1", "A")]),
    ([look("X", due=True)] * 2, {"until": "trusted"}, [("widen", "p0 p1", "AX")]),
    ([look("X", due=True)] * 2, {"until": "renewed"}, [("widen", "p0 p1", "AX"), ("leaves", "p0 p1", "AX")]),
    ([look("AX")] * 2, {"until": "renewed"}, []),
    # one that has expired can't have its trust widened: it gets its new certificate with the others
    ([look("X", due=True, until="2026-02-01T00:00:00Z"), look("X", due=True)], {},
     [("widen", "p1", "AX"), ("leaves", "p0 p1", "AX"), ("narrow", "p0 p1", "A")]),
    # a member that is new in the middle of it
    ([look("XA", due=True), look(due=True)], {}, [("leaves", "p0 p1", "AX"), ("narrow", "p0 p1", "A")]),
    # the authority is still to be made
    ([look("X"), look("X")], {"chain": ""}, [("leaves", "p0 p1", "X"), ("narrow", "p0 p1", "")]),
    # of one with an intermediate above which the root stands, the root is trusted
    ([look("A"), look("A")], {"chain": "BA"}, []),
    ([look("A")], {"trusted": [pem("C")]}, [("widen", "p0", "AC")]),
    ([look("AC")], {"trusted": [pem("C")]}, []),
    # what somebody else has issued keeps its own root
    ([look("X")], {"provider": "provided", "chain": ""}, []),
    ([look("XA")], {"provider": "provided", "chain": ""}, [("narrow", "p0", "X")]),
    # written and not read by anybody
    ([look("A", activated=False), look("A")], {}, [("read", "", "A")]),
    # cut off after a round had written everywhere and nobody had read it: that comes before the next
    ([look("XA", due=True, activated=False)] * 2, {}, [("read", "", "AX"), ("leaves", "p0 p1", "AX"), ("narrow", "p0 p1", "A")]),
    ([look("XA", due=True, activated=False)] * 2, {"until": "renewed"}, [("read", "", "AX"), ("leaves", "p0 p1", "AX")]),
    ([look("XA", due=True, activated=False)] * 2, {"until": "trusted"}, [("read", "", "AX")]),
    ([look("AX", activated=False)] * 2, {}, [("read", "", "AX"), ("narrow", "p0 p1", "A")]),
    ([look("AX", activated=False), look("XA", due=True)], {}, [("read", "", "AX"), ("leaves", "p1", "AX"), ("narrow", "p0 p1", "A")]),
    ([look("A", activated=False), look("AX")], {}, [("read", "", "AX"), ("narrow", "p1", "A")]),
    ([look("XA", due=True, activated=False), look("X", due=True)], {}, [("widen", "p1", "AX"), ("leaves", "p0 p1", "AX"), ("narrow", "p0 p1", "A")]),
    ([look("A", activated=False, judged={"stays": True, "drift": ["mode"]})], {}, [("mend", "p0", "A")]),
    # but not where it could not be proved before certificates are renewed
    ([look("A", activated=False), look("A", due=True, until="2026-02-01T00:00:00Z")], {}, [("leaves", "p1", "A")]),
    ([look("A", activated=False), look(due=True)], {}, [("read", "", "A"), ("leaves", "p1", "A")]),
    # what clients would refuse can't be kept as it is: it goes with the certificates
    ([look("X", due=True, judged={"stays": False}), look("X", due=True)], {}, [("widen", "p1", "AX"), ("leaves", "p0 p1", "AX"), ("narrow", "p0 p1", "A")]),
    ([look("A", until="2026-01-02T00:00:00Z", judged={"stays": True}), look("A")], {"trusted": [pem("C")]}, [("widen", "p0 p1", "AC")]),
    # modes, owners and keystores are mended where nothing else is written, also where a run ends early
    ([look("A", judged={"stays": True, "drift": ["mode"]}), look("A")], {"until": "trusted"}, [("mend", "p0", "A")]),
    ([look("A", due=True, judged={"stays": True, "drift": ["mode"]}), look("A")], {}, [("leaves", "p0", "A")]),
    # the root that is to come is trusted before
    ([look("X", renewed=True, judged={"stays": True, "root": {"fingerprint": mark("C"), "certificate_content": pem("C")}})],
     {"provider": "provided", "chain": ""}, [("widen", "p0", "CX"), ("leaves", "p0", "CX"), ("narrow", "p0", "C")]),
    # a root that is over is no wish
    ([look("A", judged={"stays": True, "expired_roots": [mark("C")]})], {"trusted": [pem("C")]}, []),
    # what signs itself trusts itself, and nobody else has to
    ([look("X"), look("B")], {"provider": "selfsigned", "chain": "A"}, []),
    ([look("X", due=True)], {"provider": "selfsigned", "chain": ""}, [("leaves", "p0", "")]),
    ([look("AX")] * 2, {"until": "rolled_back"}, []),
    ([look("A", **back("A")), look("A")], {}, [("back", "p0", "")]),
    ([look("A", **back("X")), look("A", **back("X"))], {}, [("back", "p0 p1", "")]),
    ([look("A", **back("XA")), look("AX")], {}, [("back", "p0", "")]),
])
def test_rounds(looks: list[fleet.Data], options: dict[str, t.Any], expected: list[tuple[str, str, str]]) -> None:
    assert rounds(looks, **options) == expected


@pytest.mark.parametrize("until, expected", [("trusted", []), ("renewed", ["p0", "p1"]), ("narrowed", ["p0", "p1"])])
def test_renewed_is_only_what_this_run_renews(until: str, expected: list[str]) -> None:
    found = fleet.plan([place("p0"), place("p1")], [look("X", due=True)] * 2, pem("A"), [], until, NOW)
    assert found["renewed"] == expected and ("p0: it is renewed" in found["told"]) == bool(expected)


def test_what_somebody_else_has_put_there_serves_and_what_is_not_there_has_no_version() -> None:
    found = fleet.plan([place("p0"), place("p1"), place("p2")], [{**look("A"), "version": 0}, look(), look("A", until="2026-02-01T00:00:00Z")],
                       pem("A"), [], "narrowed", NOW)
    assert found["serving"] == ["p0", "p2"] and found["versions"] == {"p0": 0, "p1": None, "p2": 1} and found["expired"] == {"p2": "2026-02-01T00:00:00Z"}


def test_without_what_the_modules_show_nobody_is_asked_to_read() -> None:
    found = fleet.plan([place("p0"), place("p1", "client")], [look("A", activated=False), look(due=True)], pem("A"), [], "narrowed", NOW)
    assert [row["name"] for row in found["rounds"]] == ["leaves"]


def test_a_read_round_is_told_with_the_others() -> None:
    found = fleet.plan([place("p0"), place("p1")], [look("XA", due=True, activated=False)] * 2, pem("A"), [], "renewed", NOW)
    assert found["summary"] == {"read": ["p0", "p1"], "renewed": ["p0", "p1"]} and "(1/2) what was written before is read: p0, p1" in found["told"]


def leaf(name: str, found: fleet.Data) -> fleet.Data:
    return {**found, "certificate": {**found["certificate"], "fingerprint": mark(name)}}


def test_what_every_endpoint_has_to_serve() -> None:
    places = [place("a"), {**place("r", "redis"), "endpoints": ["10.0.0.1:6379"]}, {**place("c", "client"), "endpoints": []}, place("new")]
    found = fleet.plan(places, [leaf("one", look("A")), leaf("two", look("A")), leaf("three", look("A")), look()], pem("A"), [], "narrowed", NOW)
    assert found["fingerprints"] == {"a:8443": mark("one"), "10.0.0.1:6379": mark("two"), "10.0.0.1:16379": mark("two")}


@pytest.mark.parametrize("found, refused", [
    (look("A"), []), (look("A", judged={"stays": True}), []), (look("A", due=True, judged={"stays": False}), ["p0"]),
    (look("A", due=True, until="2026-02-01T00:00:00Z"), ["p0"]), (look(due=True), []),
])
def test_where_there_is_no_way_back(found: fleet.Data, refused: list[str]) -> None:
    assert fleet.plan([place("p0")], [found], pem("A"), [], "narrowed", NOW)["refused"] == refused


def test_only_trust_goes_back() -> None:
    def version(before: str) -> fleet.Data:
        found = leaf("now", look("A", **back("A")))
        return {**found, "previous": {**found["previous"], "fingerprint": mark(before)}}

    places = [place("p0"), place("p1")]
    both = fleet.plan(places, [version("now"), version("now")], pem("A"), [], "rolled_back", NOW)
    assert both["told"] == ["(1/1) whom they trusted before is trusted again: p0, p1", "p0, p1: only trust goes back; the certificate stays"]
    one = fleet.plan(places, [version("now"), version("old")], pem("A"), [], "rolled_back", NOW)
    assert one["told"] == ["(1/1) the version before serves again: p0, p1", "p0: only trust goes back; the certificate stays"]
    assert "stays" not in str(fleet.plan(places, [version("old")] * 2, pem("A"), [], "rolled_back", NOW)["told"])


def test_parts_and_their_buses() -> None:
    found = [place("a"), place("b"), {**place("r", "redis"), "endpoints": ["10.0.0.1:6379"]}, {**place("c", "client"), "endpoints": []}]
    assert [(row["name"], row["protocol"], row["endpoints"]) for row in fleet.parts(found)] == [
        ("service", "https", ["a:8443", "b:8443"]), ("redis", "redis", ["10.0.0.1:6379"]), ("redis bus", "redis_bus", ["10.0.0.1:16379"])]


def test_places_take_what_is_declared_and_no_secret() -> None:
    found = [{"name": "s", "part": "service", "names": ["a"], "where": {"path": "/p"}}, {"name": "c", "part": "client", "where": {"path": "/q"}}]
    rows = fleet.places(found, {"service": {"names": ["b", "a"], "key_type": "rsa-2048", "keystore_password": "changeit"}})
    assert rows[0]["options"]["subject_alt_names"] == ["b", "a"] and rows[0]["options"]["key_type"] == "rsa-2048"
    assert "changeit" not in str(rows) and rows[0]["options"]["path"] == "/p" and rows[1]["options"]["usages"] == ["client"]


@pytest.mark.parametrize("provider, parts, usages", [
    ("provided", ("service",), ["server"]), ("provided", ("service", "redis"), ["server", "client"]), ("ownca", ("service",), ["server", "client"])])
def test_who_issued_it_knows_its_names(provider: str, parts: t.Sequence[str], usages: list[str]) -> None:
    found = [{"name": part, "part": part, "names": ["inside"], "verify": ["inside"], "where": {"path": f"/{part}"}} for part in parts]
    rows = fleet.places(found, {"service": {"provider": provider, "names": ["cache.example.com"]}})
    alone = ["cache.example.com"] if provider == "provided" else []
    assert rows[0]["options"]["subject_alt_names"] == (alone or ["cache.example.com", "inside"]) and rows[0]["verify"] == (alone or ["inside"])
    assert rows[0]["options"]["usages"] == usages
    assert fleet.places(found, {"service": {"usages": ["server"]}})[0]["options"]["usages"] == ["server"]


@pytest.mark.parametrize("part, expected", [("redis", "caching_redis_tls"), ("balancer", "caching_balancer_group")])
def test_a_part_that_is_not_there(part: str, expected: str) -> None:
    found = [{"name": "one", "part": "service", "where": {"path": "/one"}}]
    with pytest.raises(CachingError, match=f"{part} is declared, and nothing of this fleet has such a certificate.*{expected}"):
        fleet.places(found, {part: {"validity": "P30D"}})
    assert len(fleet.places(found, {part: {}})) == 1


def test_two_places_have_two_names() -> None:
    found = [{"name": "one", "part": part, "where": {"path": f"/{part}"}} for part in ("service", "redis")]
    with pytest.raises(CachingError, match="two certificates of this fleet would be 'one'"):
        fleet.places(found, {})


@pytest.mark.parametrize("declared, expected", [
    (["service"], "give a mapping"), ({"srvice": {}}, "'srvice' is none of service, redis, balancer, client"), ({"redis": 1}, "redis has to be a mapping"),
    ({"redis": {"name": "x"}}, "redis has no 'name'"), ({"redis": {"provider": "acme"}}, "provider is ownca, provided, selfsigned or cert-manager"),
    ({"client": {"provider": "selfsigned"}}, "selfsigned can't be"),
    ({"service": {"keep_previous": 0}}, "service: keep_previous goes from 1 to 20 .*, not 0"),
    ({"service": {"usages": ["peer"]}}, "service: usages is a list of server and client"),
    ({"redis": {"issuer": {"name": "ca"}}}, "issuer is for provider cert-manager, not for ownca"),
    ({"redis": {"provider": "cert-manager"}}, "redis: provider cert-manager needs issuer"),
    ({"service": {"names": "caching"}}, "service: names is a list of names, not 'caching'"), ({"service": {"names": {"a": 1}}}, "names is a list"),
])
def test_what_is_declared_wrongly(declared: t.Any, expected: str) -> None:
    with pytest.raises(CachingError, match=expected):
        fleet.places([], declared)


BEGIN = "-----BEGIN EC PRIVATE" + " KEY-----"
BOTH = f"{pem('A')}{BEGIN}\nMHcCAQEE\n{BEGIN.replace('BEGIN', 'END')}\n"


@pytest.mark.parametrize("declared, where", [
    ({"service": {"provider": "provided", "certificate_content": BOTH}}, "service: certificate_content holds"),
    ({"redis": {"provider": "provided", "chain_content": BOTH}}, "redis: chain_content holds"),
    ({"service": {"names": ["a", BOTH]}}, "service: names holds"), ({"service": {"key": BOTH}}, "service holds"), ({"service": BOTH}, "service holds"),
    ({"servce": {"key_contents": BOTH}}, "it holds"), (BOTH, "it holds"), ([BOTH], "it holds"), ({"service": {BOTH: 1}}, "service holds"),
])
def test_a_key_that_would_be_shown(declared: t.Any, where: str) -> None:
    with pytest.raises(CachingError, match=f"^caching_certificates: {where} a private key, and would show it") as told:
        fleet.places([], declared)
    assert "MHcCAQEE" not in told.value.message and "\n" not in told.value.message
    assert fleet.places([], {"service": {"key_content": BOTH}}) == []


@pytest.mark.parametrize("looks", [
    [look("A", **back("X")), look("A")], [look("A", **back("XA")), look("A")], [look("AX", **back("A")), look("XA", **back("X"))]])
def test_a_way_back_that_would_cut_somebody_off(looks: list[fleet.Data]) -> None:
    with pytest.raises(CachingError, match="p[01] would show a certificate whose authority p[01] would not trust"):
        rounds(looks)


def kept(*looks: fleet.Data, marks: dict[str, str] | None = None, chain: str = "", providers: t.Sequence[str] = (), until: str = "narrowed") -> fleet.Data:
    """The plan for places p0, p1, … that cert-manager keeps, but for those with another provider."""
    kinds = [*providers, *["cert-manager"] * len(looks)]
    places = [place(f"p{number}", provider=kinds[number]) for number in range(len(looks))]
    found = [{**one, "version": 0, "activated": True, "certificate": one["certificate"] and {**one["certificate"], "fingerprint": "leaf"}}
             if kind == "cert-manager" else one for one, kind in zip(looks, kinds)]
    return fleet.plan(places, found, "".join(map(pem, chain)), [], until, NOW, marks)


@pytest.mark.parametrize("looks, marks, expected, serving", [
    ([look()], {}, [], []),                                                                           # not issued yet, as in check mode
    ([look("A")], {}, ["read"], []),                                                                  # issued, and nobody has read anything
    ([look("A")], {"p0": f"leaf {mark('A')}"}, [], ["p0"]),
    ([look("A", due=True)], {"p0": f"leaf {mark('A')}"}, [], ["p0"]),                                 # what is due is its own affair
    ([look("A")], {"p0": f"before {mark('A')}"}, ["read"], ["p0"]),                                   # renewed
    ([look("AB")], {"p0": f"leaf {mark('A')}"}, ["read"], ["p0"]),                                    # it trusts another one
    ([look("A"), look("A")], {"p0": f"leaf {mark('A')}"}, ["read"], ["p0"]),
])
def test_what_cert_manager_has_written_is_read(looks: list[fleet.Data], marks: dict[str, str], expected: list[str], serving: list[str]) -> None:
    found = kept(*looks, marks=marks)
    assert [row["name"] for row in found["rounds"]] == expected and found["serving"] == serving and not found["renewed"]


def test_cert_manager_alone_decides_whom_its_places_trust() -> None:
    together = kept(look("A"), look(due=True), marks={"p0": f"leaf {mark('A')}"}, chain="A", providers=("cert-manager", "ownca"))
    assert [(row["name"], row["places"]) for row in together["rounds"]] == [("leaves", ["p1"])]
    assert "another than the one that was read last" in " ".join(kept(look("B"), marks={"p0": f"old {mark('A')}"})["told"])
    for looks, options, expected in (
        ([look("A"), look("B")], {}, "p0: cert-manager decides whom it trusts, and 1 of the roots"),
        ([look("A"), look("X")], {"chain": "B", "providers": ("cert-manager", "ownca")}, "decides whom it trusts"),
        ([look("A")], {"until": "rolled_back"}, "has no version before"), ([{**look("A"), "trusted": []}], {}, "puts no ca.crt into the Secret"),
    ):
        with pytest.raises(CachingError, match=expected):
            kept(*looks, **options)


def test_what_can_not_be_planned() -> None:
    with pytest.raises(CachingError, match="trusted\\[0\\] holds no certificate"):
        fleet.plan([], [], "", ["nothing"], "narrowed", NOW)
    with pytest.raises(CachingError, match="one of trusted, renewed, narrowed"):
        fleet.plan([], [], "", [], "later", NOW)
