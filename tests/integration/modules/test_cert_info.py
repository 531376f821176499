# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cert_info: what endpoints really serve, verified, one by one, in bounded time."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _cert_make as make
from ansible_collections.exalt.caching.plugins.module_utils import _cert_model as model
from ansible_collections.exalt.caching.plugins.module_utils._cert_names import parse_all
from ansible_collections.exalt.caching.plugins.module_utils._cert_policy import Wish

from tests.harness.modules import ModuleResult, run_module
from tests.harness.sequence import accepted
from tests.harness.targets import Fleet, FleetProxy
from tests.harness.tls_parties import talker, tls_server

DAY = 86400.0


class Made:
    """An authority and what it signs, as files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, time.time()
        certificate, key = make.authority("", 3650 * DAY, [], self.now - 900 * DAY)
        self.issuer = make.Issuer(certificate, key, [])
        self.roots = folder / "ca.crt"
        self.roots.write_bytes(model.pem([certificate]))

    def pair(self, name: str, *names: str, begin: float = 0.0, lifetime: float = 90 * DAY) -> tuple[Path, Path]:
        key = make.new_key("ecdsa-p256")
        wish = Wish("x", tuple(parse_all(names or ("localhost", "127.0.0.1"), "n")), lifetime=lifetime)
        leaf = make.leaf(wish, key.public_key(), self.issuer, self.now + begin)
        paths = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        paths[0].write_bytes(model.pem([leaf]))
        paths[1].write_bytes(model.key_pem(key))
        return paths

    @staticmethod
    def print_of(pair: tuple[Path, Path]) -> str:
        return model.fingerprint(model.certificates(pair[0].read_bytes(), "x")[0])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("pairs"))


def look(made: Made, *ports: int, **options: t.Any) -> ModuleResult:
    return run_module("cert_info", {"endpoints": [f"127.0.0.1:{port}" for port in ports], "ca_path": str(made.roots), **options})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---- the service


@pytest.mark.operation("S144")
@pytest.mark.hazard("H53")
def test_each_instance_serves_by_tls(fleet: Fleet, proxies: FleetProxy) -> None:
    endpoints = [urlsplit(str(member["tls_url"])).netloc for member in proxies.instances]
    args = {"endpoints": endpoints, "path": "/actuator/health", "ca_path": fleet.args["ca_path"]}
    found = accepted(run_module("cert_info", args))
    assert found["healthy"] and found["changed"] is False and [row["status"] for row in found["certificates"]] == [200] * 3, found["problems"]
    assert sum(row["tls"] for row in proxies.proxy.records()) == 3 and all(row["chain_ok"] and row["names_ok"] for row in found["certificates"])
    direct = [urlsplit(str(member["tls_url"])).netloc for member in fleet.facts["instances"]]
    told = accepted(run_module("cert_info", {**args, "endpoints": direct, "ca_path": None, "fingerprint": "00" * 32}))
    for row in told["certificates"]:
        assert row["fingerprint"] and row["names"] and not row["chain_ok"] and row["expected"] is False, "what is served is shown all the same"
        assert [text.split(":")[0].split(" ")[0:2] for text in row["problems"]] == [["clients", "refuse"], ["it", "serves"]]


# ---- endpoints that are wrong


def test_each_endpoint_has_its_own_problems(made: Made, tmp_path: Path) -> None:
    """One task over a good one and nine kinds of bad ones: each is told at its endpoint, and nothing fails."""
    foreign = Made(tmp_path)
    pairs = {"good": made.pair("good"), "foreign": foreign.pair("foreign"), "other-name": made.pair("other", "other.example"),
             "over": made.pair("over", begin=-100 * DAY), "soon": made.pair("soon", begin=-80 * DAY), "early": made.pair("early", begin=2 * DAY)}
    told = {"good": [], "foreign": ["clients refuse its chain: unable to get local issuer certificate"], "other-name": ["it is not valid for 127.0.0.1"],
            "over": ["clients refuse its chain: certificate has expired", "it expired on "], "soon": ["it expires in 10 days, on "],
            "early": ["clients refuse its chain: certificate is not yet valid", "it is valid from "], "closed": ["Connection refused"],
            "plain": ["wrong version number"], "silent": ["no answer within 2 s"], "hangs-up": [""]}
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(tls_server(*pair)) for name, pair in pairs.items()}
        ports["closed"] = free_port()
        ports["plain"] = stack.enter_context(talker(lambda wire: wire.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")))
        ports["silent"] = stack.enter_context(talker(lambda wire: time.sleep(20)))
        ports["hangs-up"] = stack.enter_context(talker(lambda wire: (wire.recv(1), wire.close()) and None))
        started = time.monotonic()
        found = accepted(look(made, *ports.values(), timeout="PT2S"))
        assert time.monotonic() - started < 30
    for name, row in zip(ports, found["certificates"], strict=True):
        assert len(row["problems"]) == len(told[name]) and all(want in text for want, text in zip(told[name], row["problems"])), (name, row["problems"])
        assert bool(row["fingerprint"]) is (name in pairs) and row["reachable"] is (name in pairs), name
        if name in pairs:
            assert row["fingerprint"] == Made.print_of(pairs[name]) and row["chain"][0]["fingerprint"] == row["fingerprint"]
    assert not found["healthy"] and len(found["problems"]) == 11 and len(found["metrics"]) == 3 * 6 + 4


def test_names_and_the_name_of_the_handshake(made: Made) -> None:
    pair = made.pair("names", "caching-service", "*.redis.svc")
    with tls_server(*pair) as port:
        assert look(made, port)["problems"] == [f"127.0.0.1:{port}: it is not valid for 127.0.0.1"]
        good = look(made, port, names=["*.redis.svc", "caching-service", "redis-0.redis.svc"])
        assert good["healthy"], good["problems"]
        assert look(made, port, names=["caching-service", "bank.example"])["problems"] == [f"127.0.0.1:{port}: it is not valid for bank.example"]
        assert look(made, port, server_name="bank.example", names=["caching-service"])["problems"] == [f"127.0.0.1:{port}: it is not valid for bank.example"]
        assert accepted(look(made, port, server_name="caching-service", ca_path=None, trusted_certificates=[made.roots.read_text()]))["healthy"]


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_servers_that_want_a_client_certificate(made: Made, version: str) -> None:
    pair, mine = made.pair("mutual"), made.pair("client", "me")
    with tls_server(*pair, made.roots, maximum_version=getattr(ssl.TLSVersion, version)) as port:
        without = look(made, port, protocol="redis")["certificates"][0]
        assert len(without["problems"]) == 1 and "give client_cert and client_key" in without["problems"][0], without["problems"]
        assert look(made, port, client_cert=str(mine[0]), client_key=str(mine[1]))["healthy"]


def test_waiting_until_the_new_one_is_served(made: Made) -> None:
    old, new = made.pair("old"), made.pair("new")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*old)

    def answer(wire: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(wire, server_side=True) as talk:
            talk.recv(1)

    with talker(answer) as port:
        want = {"fingerprint": Made.print_of(new)}
        assert not look(made, port, **want)["healthy"]
        threading.Timer(2.0, lambda: context.load_cert_chain(*new)).start()
        found = accepted(look(made, port, wait_timeout="PT20S", **want))
        assert found["healthy"] and found["certificates"][0]["expected"] is True
        started = time.monotonic()
        single = look(made, port, fingerprints={f"127.0.0.1:{port}": Made.print_of(old)}, wait_timeout="PT2S")
        assert not single["healthy"] and 2 <= time.monotonic() - started < 10


def test_failing_before_the_end(made: Made) -> None:
    with tls_server(*made.pair("long")) as long, tls_server(*made.pair("short", begin=-85 * DAY)) as short:
        assert look(made, long, short, fail_before="P2D").get("failed") is not True
        result = look(made, long, short, free_port(), fail_before="P7D")
        assert result["failed"] and result["msg"] == f"1 of 3 certificates end within fail_before (7 days): 127.0.0.1:{short} expires in 5 days"
        assert result["failed_endpoints"] == [f"127.0.0.1:{short} expires in 5 days"] and len(result["certificates"]) == 3


def test_many_endpoints_some_at_a_time(made: Made) -> None:
    """Sixty that never answer cost six times the time of one, not sixty times."""
    at_once, most, lock = [0], [0], threading.Lock()

    def hold(wire: socket.socket) -> None:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        with contextlib.suppress(OSError):
            while wire.recv(4096):
                pass
        with lock:
            at_once[0] -= 1

    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(talker(hold)) for _number in range(60)]
        started = time.monotonic()
        found = accepted(look(made, *ports, timeout="PT1S", concurrency=10))
        seconds = time.monotonic() - started
    assert all(row["problems"] == ["no answer within 1 s"] for row in found["certificates"]) and most[0] <= 20 and 5.5 < seconds < 30, seconds


def test_a_path_that_is_not_answered_well(made: Made) -> None:
    pair = made.pair("web")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    answers = {"/down": b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "/odd": b"hello\r\n", "/drip": b"", "/ok": b"HTTP/1.1 204 No Content\r\n\r\n"}

    def answer(wire: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(wire, server_side=True) as talk:
            path = talk.recv(4096).split()[1].decode()
            talk.sendall(answers[path])
            while path == "/drip":
                time.sleep(0.2)
                talk.sendall(b"H")

    told = {"/down": "it answered with 503", "/odd": "it does not answer by HTTP", "/drip": "no answer within 2 s", "/ok": ""}
    with talker(answer) as port:
        for path, problem in told.items():
            row = accepted(look(made, port, path=path, timeout="PT2S"))["certificates"][0]
            assert row["problems"] == ([problem] if problem else []) and row["fingerprint"], path


BAD: dict[str, tuple[dict[str, t.Any], str]] = {
    "none": ({"endpoints": []}, "endpoints: give at least one"), "no-port": ({"endpoints": ["localhost"]}, "endpoints: 'localhost' is no host:port"),
    "port": ({"endpoints": ["a:70000"]}, "endpoints: 'a:70000' is no host:port"),
    "url": ({"endpoints": ["https://a:1"]}, "endpoints: 'https://a:1' is no host:port"),
    "ca": ({"ca_path": "/nonesuch"}, "ca_path: there is no file /nonesuch on the host"),
    "ca-bad": ({"ca_path": "{bad}"}, "ca_path: {bad} can't be read as certificates"),
    "client": ({"client_cert": "{bad}"}, "client_cert: {bad} and its key can't be used as a pair"),
    "key-alone": ({"client_key": "{bad}"}, "missing parameter(s) required by 'client_key': client_cert"),
    "print": ({"fingerprint": "12"}, "fingerprint: '12' is no SHA-256"),
    "prints": ({"fingerprints": {"b:2": "00" * 32}}, "fingerprints: b:2 is not among the endpoints"),
    "names": ({"names": ["a b"]}, "names: 'a b' is neither"), "warn": ({"warn_before": "soon"}, "warn_before: 'soon' is no"),
    "concurrency": ({"concurrency": 0}, "concurrency: it goes from 1"),
    "timeout": ({"timeout": "PT0S"}, "timeout: it must be between"), "path": ({"path": "health"}, "path: 'health' is no path"),
    "path-for": ({"path": "/", "protocol": "redis"}, "path: only for protocol https"),
    "roots": ({"trusted_certificates": ["x"]}, "trusted_certificates[0]: it holds no certificate"),
}


@pytest.mark.parametrize(("change", "told"), BAD.values(), ids=BAD)
def test_bad_options(tmp_path: Path, change: dict[str, t.Any], told: str) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    given = {name: str(bad) if value == "{bad}" else value for name, value in {"endpoints": ["127.0.0.1:1"], **change}.items()}
    result = run_module("cert_info", given)
    assert result.get("failed") and not result.crashed and "\n" not in result["msg"], result["msg"]
    assert told.replace("{bad}", str(bad)).removesuffix(" no") in result["msg"]


def test_names_that_can_not_be_resolved_are_a_problem_of_their_endpoint(made: Made) -> None:
    found = accepted(run_module("cert_info", {"endpoints": ["nowhere.invalid:443", "[::1]:1"], "ca_path": str(made.roots), "timeout": "PT2S"}))
    assert found["certificates"][0]["problems"] == ["its name can't be resolved"] and len(found["certificates"][1]["problems"]) == 1
