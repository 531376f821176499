# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook certificates on a fleet with TLS everywhere, while clients that verify make one handshake after the other."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import tempfile
import threading
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _cert_make as make
from ansible_collections.exalt.caching.plugins.module_utils import _cert_model as model
from ansible_collections.exalt.caching.plugins.module_utils._cert_names import parse_all
from ansible_collections.exalt.caching.plugins.module_utils._cert_policy import Wish

from tests.harness.canary import Canaries, CommandLines, fresh
from tests.harness.handshakes import REDIS, SERVICE, Handshakes
from tests.harness.modules import run_module
from tests.harness.plays import Outcome, play
from tests.harness.second_fleet import SecondFleet, second_fleet
from tests.harness.sequence import accepted

pytestmark = pytest.mark.slow
NETWORK = "127.0.9"
EVERY = ["caching-service-1", "caching-service-2", "caching-service-3", *(f"redis-{n}" for n in range(1, 7)), "client"]


@pytest.fixture(scope="module")
def second(tmp_path_factory) -> Iterator[SecondFleet]:
    with second_fleet(tmp_path_factory.mktemp("fleet"), NETWORK) as fleet:
        yield fleet


def endpoints(known: dict[str, t.Any]) -> dict[str, str]:
    services = {one["tls_url"].removeprefix("https://"): SERVICE for one in known["instances"]}
    return services | dict.fromkeys(known["redis_nodes"], REDIS)


def clients(fleet: SecondFleet) -> Handshakes:
    return Handshakes(Path(fleet.known["certificates"]["operator"]), endpoints(fleet.known))


def run(fleet: SecondFleet, *extra: str, check: bool = False, **variables: t.Any) -> Outcome:
    return play("certificates", fleet.known["inventory"], *extra, check=check, extra_vars={"caching_store_url": "", **variables}, timeout=600)


def changes(outcome: Outcome) -> dict[str, list[str]]:
    found: dict[str, list[str]] = outcome.custom["exalt_caching_run"][0]["changes"].get("certificates", {})
    return found


@pytest.mark.long
@pytest.mark.hazard("H53", "H54", "H55")
def test_another_authority_comes_in_three_rounds_and_no_handshake_fails(second: SecondFleet) -> None:
    planned = run(second, check=True)
    assert planned.rc == 0, planned.stdout[-3000:]
    assert changes(planned) == {"renewed": EVERY, "trust narrowed": EVERY}      # the authority is still to be made: who is trusted then is not known yet
    with clients(second) as going:
        first = run(second)
        assert first.rc == 0, first.stdout[-5000:]
        again = run(second)
    assert going.failures == [] and going.done > 100, (going.failures[:5], going.done)
    assert changes(first) == {"trust widened": EVERY, "renewed": EVERY, "trust narrowed": EVERY}
    assert {len(prints) for prints in going.seen.values()} == {2}, going.seen      # one change of what is shown, not one for each round
    assert again.rc == 0 and again.changed == 0 and changes(again) == {}, again.stdout[-3000:]
    told = "\n".join(map(str, again.results("debug")))
    assert all(prints[-1] in told for prints in going.seen.values())
    trusted = (Path(second.known["certificates"]["redis-1"]) / "ca.crt").read_text()
    assert trusted.count("BEGIN CERTIFICATE") == 1


@pytest.mark.campaign
@pytest.mark.hazard("H52")
def test_another_name_renews_and_the_version_before_can_serve_again(second: SecondFleet) -> None:
    wanted = {"caching_certificates": {"service": {"names": ["cache.example.com"]}}}
    planned = run(second, check=True, **wanted)
    assert changes(planned) == {"renewed": EVERY[:3]} and "it lacks the names cache.example.com" in planned.stdout
    with clients(second) as going:
        renewed, again = run(second, **wanted), run(second, **wanted)
        back, once_more = run(second, caching_certificates_state="rolled_back"), run(second, caching_certificates_state="rolled_back")
    assert going.failures == []
    assert changes(renewed) == {"renewed": EVERY[:3]} and again.changed == 0 and changes(again) == {}
    assert changes(back)["rolled back"] == EVERY and once_more.changed == 0 and changes(once_more) == {}
    for endpoint, kind in going.endpoints.items():
        prints = going.seen[endpoint]
        assert (prints[0] == prints[2] and len(prints) == 3) if kind == SERVICE else len(prints) in (1, 2), (endpoint, prints)


class Stuck:
    """A server that has read its certificate once and never again."""

    def __init__(self, host: str, folder: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        self.listener = socket.create_server((host, 8443))
        self.context = context
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _address = self.listener.accept()
                with self.context.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(1000)
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            except ssl.SSLError:
                continue
            except OSError:
                return


@pytest.mark.long
def test_one_that_does_not_take_it_brings_all_of_them_back(second: SecondFleet) -> None:
    known = second.known
    name, host = "caching-service-9", f"{NETWORK}.19"
    theirs = Path(known["certificates"]["caching-service-1"]).parent / name
    own = Path(known["authority"]).parent / "own-authority"
    accepted(run_module("cert_rotate", {
        "name": name, "path": str(theirs), "subject_alt_names": [host], "ca_certificate_path": str(own / "ca.crt"), "ca_key_path": str(own / "ca.key"),
        "ca_key_passphrase": Path(known["secrets"]["ca_passphrase"]).read_text()}))
    stuck = Stuck(host, theirs / "current")
    instances = [*known["instances"], {**known["instances"][0], "name": name, "tls_url": f"https://{host}:8443"}]
    wanted = {"caching_instances": instances, "caching_certificate_timeout": "PT3S"}
    try:
        with clients(second) as going:
            failed = run(second, caching_certificates_renew=True, caching_certificates={"service": {"names": [host]}}, **wanted)
        assert failed.rc != 0 and going.failures == []
        why = failed.custom["exalt_caching_run"][0]["reason"]
        assert f"{host}:8443" in why and "are those from before again, and every endpoint serves them" in why, why
        assert {(prints[0] == prints[-1], len(prints)) for prints in going.seen.values()} <= {(True, 3), (True, 1)}, going.seen
    finally:
        stuck.listener.close()
        shutil.rmtree(theirs)


@pytest.mark.long
def test_what_can_not_be_is_told_in_one_line_and_nothing_changes(second: SecondFleet) -> None:
    before = {name: (Path(folder) / "tls.crt").resolve() for name, folder in second.known["certificates"].items()}
    cases: list[tuple[dict[str, t.Any], str]] = [
        ({"caching_certificates": {"servce": {}}}, "caching_certificates: 'servce' is none of service, redis, balancer, client"),
        ({"caching_certificates": {"service": {"name": "x"}}}, "caching_certificates: service has no 'name'"),
        ({"caching_certificates": {"redis": {"provider": "selfsigned"}}}, "caching_certificates: redis: selfsigned can't be"),
        ({"caching_ca": {**CA, "passphrase": "another one"}, "caching_certificates_renew": True}, "passphrase"),
        ({"caching_ca": {**CA, "trusted": ["nothing"]}}, "caching_ca: trusted[0] holds no certificate in PEM"),
        ({"caching_certificates": {"service": {"provider": "provided", "certificate_path": "/nonesuch"}}}, "/nonesuch"),
        ({"caching_certificates": {"balancer": {"names": ["cache.example.com"]}}}, "balancer is declared, and nothing of this fleet has such a certificate"),
        ({"caching_certificates": {"redis": {"keep_previous": 0}}}, "redis: keep_previous goes from 1 to 20"),
        ({"caching_certificates": {"service": {"names": "cache.example.com"}}}, "service: names is a list of names"),
        ({"caching_certificates": {"service": {"provider": "provided", "certificate_content": "-----BEGIN PRIVATE" + " KEY-----"}}}, "holds a private key"),
        ({"caching_certificate_timeout": "2m", "caching_certificates_renew": True}, "caching_certificate_timeout: "),
        ({"caching_ca": {**CA, "host": "192.0.2.9"}}, "192.0.2.9"),      # the record tells it, so the run came to its end
    ]
    folder = Path(second.known["authority"]).parent / "own-authority"
    for given, expected in cases:
        if "caching_ca" in given:
            given["caching_ca"]["path"] = str(folder)
            given["caching_ca"].setdefault("passphrase", Path(second.known["secrets"]["ca_passphrase"]).read_text())
        failed = run(second, **given)
        assert failed.rc != 0 and expected in failed.stdout and "Traceback" not in failed.stdout, (given, failed.stdout[-1500:])
        assert failed.custom["exalt_caching_run"][0]["reason"], given
    assert before == {name: (Path(folder) / "tls.crt").resolve() for name, folder in second.known["certificates"].items()}


@pytest.mark.campaign
def test_trust_alone_is_widened_and_the_next_run_narrows_it_again(second: SecondFleet) -> None:
    later = {"caching_ca": own_authority(second, name="later"), "caching_certificates_until": "trusted"}
    with clients(second) as going:
        widened, back = run(second, **later), run(second)
    assert widened.rc == 0 and changes(widened) == {"trust widened": EVERY}, widened.stdout[-3000:]
    assert back.rc == 0 and changes(back)["trust narrowed"] == EVERY and going.failures == [], back.stdout[-3000:]


@pytest.mark.campaign
@pytest.mark.hazard("H54")
def test_what_nobody_had_read_is_read_before_the_next_round(second: SecondFleet) -> None:
    """As a run leaves it that was killed when it had widened trust in every place, and before anybody was told to read it."""
    settled = run(second)
    assert settled.rc == 0, settled.stdout[-3000:]
    other = own_authority(second, name="unread")
    made = accepted(run_module("cert_rotate", {
        "name": "unread", "state": "authority", "ca_certificate_path": f"{other['path']}/unread.crt", "ca_key_path": f"{other['path']}/unread.key",
        "ca_key_passphrase": other["passphrase"]}))
    for name in EVERY:
        folder = Path(second.known["certificates"]["operator" if name == "client" else name])
        accepted(run_module("cert_rotate", {
            "name": name, "provider": "provided", "path": str(folder), "usages": ["client" if name == "client" else "server"],
            "trusted_certificates": [(folder / "ca.crt").read_text(), made["authority"]["root_content"]]}))
    with clients(second) as going:
        done, back = run(second, caching_ca=other), run(second)
    assert done.rc == 0 and changes(done) == {"read": EVERY, "renewed": EVERY, "trust narrowed": EVERY}, done.stdout[-5000:]
    assert back.rc == 0 and going.failures == [], (going.failures[:5], back.stdout[-3000:])


@pytest.mark.long
def test_what_has_expired_and_what_has_drifted_is_renewed_and_mended(second: SecondFleet) -> None:
    """A client that Redis refuses after its handshake is no reason to give up: that is what is renewed."""
    before = run(second)
    assert before.rc == 0, before.stdout[-3000:]
    own = own_authority(second)
    folder = Path(own["path"])
    authority = model.certificates((folder / "ca.crt").read_bytes(), "ca.crt")
    issuer = make.Issuer(authority[0], model.private_key((folder / "ca.key").read_bytes(), "ca.key", own["passphrase"]), [])
    key = make.new_key("ecdsa-p256")
    wish = Wish("client", tuple(parse_all(["exalt-caching"], "names")), usages=frozenset(["client"]), lifetime=3600.0)
    client = Path(second.known["certificates"]["operator"])
    (client / "tls.crt").write_bytes(model.pem([make.leaf(wish, key.public_key(), issuer, time.time() - 7200)]))
    (client / "tls.key").write_bytes(model.key_pem(key))
    (Path(second.known["certificates"]["redis-1"]) / "tls.key").chmod(0o640)
    planned, done = run(second, check=True), run(second)
    assert changes(planned) == {"renewed": ["client"], "mended": ["redis-1"]} and "it expired on" in planned.stdout, planned.stdout[-3000:]
    assert done.rc == 0 and changes(done) == changes(planned) and (Path(second.known["certificates"]["redis-1"]) / "tls.key").stat().st_mode & 0o777 == 0o600
    again = run(second)
    assert again.rc == 0 and again.changed == 0 and changes(again) == {}, again.stdout[-3000:]


def own_authority(fleet: SecondFleet, **more: t.Any) -> dict[str, t.Any]:
    passphrase = Path(fleet.known["secrets"]["ca_passphrase"]).read_text()
    return {"path": str(Path(fleet.known["authority"]).parent / "own-authority"), "passphrase": passphrase, **more}


def key_parts(folder: Path) -> set[str]:
    """The lines that hold what is private: the third one of a key for P-256 is its public key alone, as certificates show it."""
    keys = [path.read_text().splitlines() for path in (*folder.rglob("tls.key"), *folder.rglob("ca.key"))]
    return {line for key in keys for line in key[1:3] if len(line) > 30}


@pytest.mark.campaign
@pytest.mark.hazard("H51")
def test_nothing_shows_a_key_or_a_password(second: SecondFleet, tmp_path: Path) -> None:
    certificates = Path(second.known["authority"]).parent
    before = key_parts(certificates)
    password, wrong = fresh("keystore"), fresh("wrong")
    wanted = {part: {"keystore_password": password} for part in ("service", "client")}
    own = {"path": str(certificates / "own-authority"), "passphrase": wrong}
    texts = []
    with tempfile.TemporaryDirectory(prefix="guard-") as place:      # not tmp_path: a socket's path is short
        outside = Path(place)
        for name in ("tmp", "home", "ansible"):
            (outside / name).mkdir()
        env = {"TMPDIR": f"{place}/tmp", "HOME": f"{place}/home", "ANSIBLE_HOME": f"{place}/ansible", "ANSIBLE_REMOTE_TEMP": f"{place}/ansible/tmp",
               "ANSIBLE_LOG_PATH": f"{place}/ansible.log", "ANSIBLE_SHOW_CUSTOM_STATS": "true", "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "true"}
        with CommandLines() as lines:
            for good, check, more in (
                    (True, True, {}), (True, False, {"caching_certificates_renew": True}), (True, False, {"caching_certificates_state": "rolled_back"}),
                    (False, False, {"caching_certificates_renew": True, "caching_ca": own})):
                given = {"caching_store_url": f"file://{place}/store", "caching_certificates": wanted, **more}
                (tmp_path / "given.json").write_text(json.dumps(given))
                ran = play("certificates", second.known["inventory"], "-vvvv", "--diff", "-e", f"@{tmp_path}/given.json", check=check, env=env, timeout=600)
                assert (ran.rc == 0) == good, ran.stdout[-3000:]
                texts += [ran.stdout, ran.stderr, json.dumps(ran.tasks), json.dumps(ran.custom)]
        new = key_parts(certificates)
        assert len(new - before) >= 10, "no keys were made"
        sought = Canaries(password=password, wrong=wrong, passphrase=Path(second.known["secrets"]["ca_passphrase"]).read_text().strip(),
                          **{f"key{number}": part for number, part in enumerate(new)})
        found = [finding for number, text in enumerate(texts) for finding in sought.in_text(text, f"output {number}")]
        assert found + lines.findings(sought) + sought.in_folder(outside) == []
    assert all("PRIVATE KEY" not in text for text in texts)
    leaked = {Path(finding.place).name for finding in sought.in_folder(certificates)}
    assert leaked <= {"tls.key", "ca.key", "ca_passphrase"} and "tls.key" in leaked, leaked     # the scanner finds them where they belong


CA: dict[str, t.Any] = {}
