# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cert_rotate in files: made once, renewed only when needed, checked before it is installed, and the way back."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _cert_make as make
from ansible_collections.exalt.caching.plugins.module_utils import _cert_model as model
from ansible_collections.exalt.caching.plugins.module_utils._cert_names import parse_all
from ansible_collections.exalt.caching.plugins.module_utils._cert_policy import Wish

from tests.harness import canary
from tests.harness.modules import ModuleResult, run_module
from tests.harness.sequence import accepted
from tests.harness.steps import Steps
from tests.harness.tls_parties import shake, strict_client, tls_server

Args = dict[str, t.Any]
DAY = 86400.0


@pytest.fixture
def base(tmp_path: Path) -> Args:
    return {"name": "caching-service", "ca_certificate_path": f"{tmp_path}/ca/ca.crt", "ca_key_path": f"{tmp_path}/ca/ca.key",
            "ca_key_passphrase": "correct horse battery",
            "subject_alt_names": ["caching-service", "localhost"], "path": f"{tmp_path}/tls"}


def snapshot(folder: Path) -> dict[str, t.Any]:
    """Every file below a folder: where it leads, what it holds, how it is."""
    return {str(path.relative_to(folder)): (os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else "", path.lstat().st_mode,
                                            path.lstat().st_mtime_ns)
            for path in sorted(folder.rglob("*"))}


def step(folder: Path, args: Args, changes: bool, reason: str = "") -> ModuleResult:
    """Check mode writes nothing and predicts the run to the last detail; a second run has nothing to do."""
    before = snapshot(folder)
    predicted = accepted(run_module("cert_rotate", args, check=True))
    assert snapshot(folder) == before, "check mode wrote"
    real = accepted(run_module("cert_rotate", args))
    for key in ("changed", "diff", "renewed", "paths"):
        assert predicted[key] == real[key], key
    assert re.sub(r"[0-9.]+ minutes", "", predicted["reason"]) == re.sub(r"[0-9.]+ minutes", "", real["reason"]), "but for the time between both"
    assert real["changed"] is changes and reason in real["reason"], real["reason"]
    assert (snapshot(folder) != before) is changes
    if changes and not args.get("force"):
        done = snapshot(folder)
        for check in (True, False):
            again = accepted(run_module("cert_rotate", args, check=check))
            assert again["changed"] is False and again["diff"]["before"] == again["diff"]["after"] and snapshot(folder) == done, again["reason"]
            assert again["certificate"] == real["certificate"] or check
    return real


@pytest.mark.hazard("H51", "H52")
def test_from_nothing_to_the_way_back(base: Args, tmp_path: Path) -> None:
    first = step(tmp_path, base, True, "there is no authority yet; there is no certificate yet")
    assert first["authority"]["made"] and first["certificate"]["names"] == ["caching-service", "localhost"] and first["previous"] is None
    assert first["paths"] == {name: f"{tmp_path}/tls/current/{name}" for name in ("tls.crt", "tls.key", "ca.crt")}
    step(tmp_path, base, False, "it is as declared")
    second = step(tmp_path, {**base, "subject_alt_names": ["caching-service", "new.svc"]}, True,
                  "it lacks the names new.svc; it has the names localhost, which are not declared")
    assert second["renewed"] and second["version"] == 2 and second["previous"] == first["certificate"] and not second["authority"]["made"]
    back = step(tmp_path, {**base, "state": "rolled_back"}, True, "version 2 is rolled back to version 1")
    assert back["certificate"] == first["certificate"] and back["version"] == 3 and back["previous"] == second["certificate"]
    step(tmp_path, base, False)
    for number in range(4, 9):
        step(tmp_path, {**base, "force": True}, True, "force was given")
        assert accepted(run_module("cert_rotate", base))["version"] == number
    assert sorted(path.name for path in (tmp_path / "tls" / "versions").iterdir()) == ["0005", "0006", "0007", "0008"]
    step(tmp_path, {**base, "keep_previous": 1}, True, "versions/0005 is not needed any more")


REASONS: dict[str, tuple[Args, str]] = {
    "key": ({"key_type": "rsa-2048"}, "its key type is 'ecdsa-p256', declared is 'rsa-2048'"),
    "usages": ({"usages": ["server"]}, "its usage is client and server, declared is server"),
    "common": ({"common_name": "other"}, "its common name is 'caching-service'"),
    "organization": ({"organization": "Exalt"}, "its organization is '', declared is 'Exalt'"),
    "share": ({"renew_before": "90%"}, " minutes, and renew_before is 0.9 of its lifetime"),
    "time": ({"renew_before": "PT1H"}, " minutes, and renew_before is 1 hour"), "provider": ({"provider": "selfsigned"}, "its issuer is "),
}


@pytest.mark.parametrize(("change", "reason"), REASONS.values(), ids=REASONS)
def test_reasons_to_renew(base: Args, tmp_path: Path, change: Args, reason: str) -> None:
    accepted(run_module("cert_rotate", {**base, "validity": "PT20M", "renew_before": "PT1M"} if "renew_before" in change else base))
    assert step(tmp_path, {**base, **change}, True, reason)["renewed"]


def test_what_is_around_the_certificate_changes_without_it(base: Args, tmp_path: Path) -> None:
    first = accepted(run_module("cert_rotate", base))
    stores = {**base, "keystore_password": "changeit", "keystore_path": f"{tmp_path}/jvm/keystore.p12"}
    found = step(tmp_path, stores, True, "there are no keystores yet")
    assert not found["renewed"] and found["certificate"] == first["certificate"] and set(found["paths"]) >= {"keystore.p12", "truststore.p12"}
    step(tmp_path, {**stores, "keystore_password": "changed-1"}, True, "the keystores hold something else, or have another password")
    assert (tmp_path / "jvm" / "keystore.p12").resolve() == (tmp_path / "tls" / "versions" / "0003" / "keystore.p12").resolve()
    step(tmp_path, base, True, "keystore.p12 and truststore.p12 are not declared")
    group = str(os.getgid())
    drifted = step(tmp_path, {**base, "mode": "0640", "group": group, "owner": str(os.getuid())}, True, "has mode 0600, declared is 0640")
    assert not drifted["renewed"] and drifted["version"] == 4
    for path in (tmp_path / "tls" / "versions").rglob("tls.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    if os.getuid() == 0:
        assert step(tmp_path, {**base, "owner": "nobody"}, True, "has the owner 0, declared is 65534")["version"] == 4


def test_a_link_in_the_place_of_a_file_gets_nothing(base: Args, tmp_path: Path) -> None:
    """Whoever may write in a folder of the certificates can't have another file opened to himself."""
    accepted(run_module("cert_rotate", base))
    other = tmp_path / "other"
    other.write_text("of somebody else")
    other.chmod(0o604)
    key = tmp_path / "tls" / "current" / "tls.key"
    (tmp_path / "tls" / "current" / "more").symlink_to(other)
    for planted in (lambda: None, lambda: (tmp_path / "tls" / "current" / "more").unlink() or os.link(other, tmp_path / "tls" / "current" / "more")):
        planted()
        told = run_module("cert_rotate", {**base, "mode": "0640"})
        assert told["failed"] and f"{tmp_path}/tls/versions/0001/more" in told["msg"], told["msg"]
        assert stat.S_IMODE(other.stat().st_mode) == 0o604 and key.exists()


def test_a_damaged_certificate_is_replaced(base: Args, tmp_path: Path) -> None:
    accepted(run_module("cert_rotate", base))
    current = tmp_path / "tls" / "current"
    for name, content, reason in (("tls.crt", b"x", "tls.crt: it holds no certificate"), ("tls.key", b"x", "tls.key: it holds no private key"),
                                  ("ca.crt", b"x", "ca.crt: it holds no")):
        (current / name).write_bytes(content)
        assert step(tmp_path, base, True, reason)["renewed"]
    other = accepted(run_module("cert_rotate", {**base, "path": f"{tmp_path}/other"}))
    (current / "tls.key").write_bytes((Path(other["paths"]["tls.key"])).read_bytes())
    step(tmp_path, base, True, "its key belongs to another certificate")
    (current / "tls.key").unlink()
    step(tmp_path, base, True, "tls.key: it holds no private key")


@pytest.mark.operation("S138", "S139", "S140")
def test_a_key_that_never_leaves_its_place(base: Args, tmp_path: Path) -> None:
    """Requested where it is used, signed where the authority is, completed by what is public."""
    where = {name: value for name, value in base.items() if not name.startswith("ca_")}
    authority = {"name": "caching-service", "subject_alt_names": base["subject_alt_names"],
                 **{name: value for name, value in base.items() if name.startswith("ca_")}}
    with Steps(tmp_path) as steps:
        made = steps.run("cert_rotate", {**authority, "state": "authority"}).result or {}
        assert made["changed"] and made["authority"]["made"] and made["chain_content"] == made["authority"]["certificate_content"]
        assert not accepted(run_module("cert_rotate", {**authority, "state": "authority"}))["changed"]
        asked = steps.run("cert_rotate", {**where, "state": "requested"}).result or {}
        assert asked["changed"] and asked["certificate"] is None and asked["csr"].startswith("-----BEGIN CERTIFICATE REQUEST-----")
        assert step(tmp_path, {**where, "state": "requested"}, False, "it is requested already; there is no certificate yet")["csr"] == asked["csr"]
        request = {**authority, "state": "signed", "csr_content": asked["csr"]}
        predicted = accepted(run_module("cert_rotate", request, check=True))
        signed = steps.run("cert_rotate", request).result or {}
        assert predicted["changed"] and predicted["certificate_content"] is None and predicted["diff"] == signed["diff"]
        complete = {**where, "provider": "provided", "certificate_content": signed["certificate_content"], "chain_content": signed["chain_content"]}
        done = steps.run("cert_rotate", complete).result or {}
        assert done["changed"] and done["renewed"] and done["certificate"] == signed["certificate"] and not (tmp_path / "tls" / "requested").exists()
    step(tmp_path, complete, False)
    quiet = step(tmp_path, {**where, "state": "requested", "chain_content": signed["chain_content"]}, False)
    assert quiet["csr"] is None
    other = accepted(run_module("cert_rotate",
                                {**authority, "ca_certificate_path": f"{tmp_path}/new/c", "ca_key_path": f"{tmp_path}/new/k", "state": "authority"}))
    step(tmp_path, {**where, "state": "requested", "chain_content": other["chain_content"]}, True, "which is not in chain_content")


def test_what_is_signed_is_what_is_declared(base: Args, tmp_path: Path) -> None:
    asked = accepted(run_module("cert_rotate", {**base, "state": "requested", "subject_alt_names": ["caching-service", "bank.example"]}))
    request = {**base, "state": "signed", "csr_content": asked["csr"]}
    for change, told in (({}, "csr_content: it asks for bank.example, which subject_alt_names does not have"),
                         ({"subject_alt_names": []}, "subject_alt_names: name what may be signed"),
                         ({"subject_alt_names": ["caching-service", "bank.example"], "key_type": "rsa-2048"},
                          "csr_content: its key is ecdsa-p256, key_type is rsa-2048"),
                         ({"csr_content": "x"}, "csr_content: it can't be read"), ({"provider": "selfsigned"}, "provider: state signed is for ownca")):
        result = run_module("cert_rotate", {**request, **change})
        assert result["failed"] and result["msg"].startswith(told), result["msg"]
    assert not (tmp_path / "ca").exists(), "nothing was made on the way"


# ---- somebody else's certificates


class Others:
    """An authority of somebody else, and what it signs."""

    def __init__(self) -> None:
        self.now = time.time()
        self.certificate, key = make.authority("Others", 3650 * DAY, [], self.now - 400 * DAY)
        self.issuer = make.Issuer(self.certificate, key, [])
        self.root = model.pem([self.certificate]).decode()

    def sign(self, *names: str, when: float = 0.0, key: t.Any = None, usages: tuple[str, ...] = ("server", "client")) -> dict[str, str]:
        key = key or make.new_key("ecdsa-p256")
        leaf = make.leaf(Wish("caching-service", tuple(parse_all(names, "n")), usages=frozenset(usages)), key.public_key(), self.issuer, self.now + when)
        return {"certificate_content": model.pem([leaf]).decode(), "key_content": model.key_pem(key).decode(), "chain_content": self.root}


@pytest.fixture(scope="module")
def others() -> Others:
    return Others()


@pytest.fixture
def provided(base: Args) -> Args:
    return {"name": "caching-service", "provider": "provided", "path": base["path"], "subject_alt_names": base["subject_alt_names"]}


def test_provided_by_text_and_by_files(provided: Args, others: Others, tmp_path: Path) -> None:
    given = others.sign("caching-service", "localhost")
    first = step(tmp_path, {**provided, **given}, True, "there is no certificate yet")
    assert [root["subject"] for root in first["trusted"]] == [model.facts(others.certificate).subject]
    step(tmp_path, {**provided, **given}, False)
    step(tmp_path, {**provided, "certificate_content": given["certificate_content"], "chain_content": given["chain_content"]}, False)
    step(tmp_path, provided, False, "it is as declared")
    renewed = others.sign("caching-service", "localhost")
    for name in ("certificate", "key", "chain"):
        (tmp_path / name).write_text(renewed[f"{name}_content"])
    files = {f"{name}_path": f"{tmp_path}/{name}" for name in ("certificate", "key", "chain")}
    assert step(tmp_path, {**provided, **files}, True, "another certificate is given")["renewed"]
    widened = step(tmp_path, {**provided, "trusted_certificates": [model.pem([Others().certificate]).decode()]}, True, "is not trusted yet")
    assert not widened["renewed"] and len(widened["trusted"]) == 2
    step(tmp_path, {**provided, "trusted_certificates": []}, True, "is to be trusted no more")
    step(tmp_path, {**provided, "state": "rolled_back"}, True, "is rolled back to")


def refused_inputs(others: Others) -> dict[str, tuple[Args, str]]:
    good, other = others.sign("caching-service", "localhost"), others.sign("caching-service", "localhost")
    return {
        "expired": (others.sign("caching-service", "localhost", when=-100 * DAY), "certificate_content: it expired on "),
        "early": (others.sign("caching-service", "localhost", when=DAY), "certificate_content: it is valid from "),
        "mismatched": ({**good, "key_content": other["key_content"]}, "certificate_content: the key does not belong to the certificate"),
        "names": (others.sign("caching-service"), "certificate_content: it is not valid for localhost"),
        "usage": (others.sign("caching-service", "localhost", usages=("server",)), "certificate_content: it may not be used as client"),
        "untrusted": ({**good, "chain_content": None}, "certificate_content: its issuer "),
        "other-root": ({**good, "chain_content": Others().root}, "certificate_content: its issuer "),
        "authority": ({**good, "certificate_content": others.root}, "certificate_content: the key does not belong to the certificate"),
        "cut": ({**good, "certificate_content": good["certificate_content"][:300]}, "certificate_content: it can't be read as certificates in PEM"),
        "key-cut": ({**good, "key_content": good["key_content"][:100]}, "key_content: it can't be read as a private key"),
        "swapped": ({**good, "certificate_content": good["key_content"]}, "certificate_content: it holds a private key"),
        "no-key": ({**good, "key_content": None}, "certificate_content: no key for it is here; give key_content"),
        "nothing": ({}, "certificate_content: none is given, and none is there that could stay"),
        "root-key": ({**good, "trusted_certificates": [good["key_content"]]}, "trusted_certificates[0]: it holds a private key"),
        "root-leaf": ({**good, "trusted_certificates": [good["certificate_content"]]}, "trusted_certificates[0]: CN=caching-service is no root"),
        "no-file": ({"certificate_path": "/nonesuch/c.pem"}, "certificate_path: there is no file /nonesuch/c.pem on the host"),
        "folder": ({"certificate_path": "/tmp"}, "certificate_path: /tmp: Is a directory"),
        "both": ({**good, "certificate_path": "/nonesuch"}, "parameters are mutually exclusive: certificate_content|certificate_path"),
    }


INPUTS = refused_inputs(Others())


@pytest.mark.parametrize(("given", "told"), INPUTS.values(), ids=INPUTS)
def test_what_is_refused_leaves_what_is_there(provided: Args, others: Others, tmp_path: Path, given: Args, told: str) -> None:
    wanted = {**provided, **{name: value for name, value in given.items() if value}}
    for stage in ("nothing there", "one there"):
        before = snapshot(tmp_path)
        if stage == "one there" and given:
            accepted(run_module("cert_rotate", {**provided, **others.sign("caching-service", "localhost")}))
            before = snapshot(tmp_path)
        for check in (True, False):
            result = run_module("cert_rotate", wanted, check=check)
            assert result.get("failed") and not result.crashed and result["msg"].startswith(told) and "\n" not in result["msg"], result["msg"]
            assert snapshot(tmp_path) == before
            assert not any(line in result["msg"] for line in (given.get("key_content") or "").splitlines() if len(line) > 30)


# ---- options


BAD: dict[str, tuple[Args, str]] = {
    "no-names": ({"subject_alt_names": []}, "subject_alt_names: name everything that clients connect to"),
    "name": ({"subject_alt_names": ["a b"]}, "subject_alt_names: 'a b' is neither"),
    "common": ({"common_name": "x" * 65}, "common_name: it has 65 bytes"), "usages": ({"usages": []}, "usages: server, client, or both"),
    "validity": ({"validity": "P1Y"}, "validity: 'P1Y' is not a duration; months and years"),
    "short": ({"validity": "PT1M"}, "validity: it must be between PT10M"),
    "threshold": ({"renew_before": "P90D"}, "renew_before: 90 days is not shorter than validity (90 days), so every run would renew"),
    "share": ({"renew_before": "100%"}, "renew_before: '100%' is no share"), "keep": ({"keep_previous": 21}, "keep_previous: it goes from 0 to 20"),
    "path": ({"path": "tls"}, "path: "), "no-path": ({"path": None}, "path: destination files needs it"),
    "mode": ({"mode": "0644"}, "mode: '0644' is no mode of a private key"),
    "mode-number": ({"mode": 416}, "mode: '416' is no mode"), "owner": ({"owner": "nobody-at-all"}, "owner: 'nobody-at-all' does not exist on the host"),
    "group": ({"group": "nobody-at-all"}, "group: 'nobody-at-all' does not exist"),
    "password": ({"keystore_password": "12345"}, "keystore_password: the JVM wants 6 characters"),
    "keystore": ({"keystore_path": "/tmp/k.p12"}, "keystore_path: it needs keystore_password"),
    "no-ca": ({"ca_certificate_path": None}, "ca_certificate_path: provider ownca needs it"),
    "no-phrase": ({"ca_key_passphrase": None}, "ca_key_passphrase: there is no authority yet, and its key is only made encrypted"),
    "phrase": ({"ca_key_passphrase": "1234567"}, "ca_key_passphrase: "),
    "limits": ({"ca_name_constraints": ["other"]}, "ca_name_constraints: they don't allow caching-service, localhost"),
    "limit": ({"ca_name_constraints": ["*.a"]}, "ca_name_constraints: '*.a' is neither a domain nor a network"),
    "back": ({"state": "rolled_back"}, "state: there is no certificate from which one could go back"),
    "secret": ({"destination": "kubernetes_secret"}, "namespace, secret: destination kubernetes_secret needs it"),
    "unfit": ({"destination": "kubernetes_secret", "namespace": "a", "secret": "b", "owner": "root"}, "owner: only for destination files"),
    "kubeconfig": ({"destination": "kubernetes_secret", "namespace": "a", "secret": "b", "kubeconfig": "/nonesuch"}, "kubeconfig: there is no file /nonesuch"),
    "roots": ({"trusted_certificates": ["x"]}, "trusted_certificates[0]: it holds no certificate"),
    "signed": ({"state": "signed"}, "state is signed but all of the following are missing: csr_content"),
}


@pytest.mark.parametrize(("change", "told"), BAD.values(), ids=BAD)
def test_bad_options(base: Args, tmp_path: Path, change: Args, told: str) -> None:
    for check in (True, False):
        result = run_module("cert_rotate", {name: value for name, value in {**base, **change}.items() if value is not None}, check=check)
        assert result.get("failed") and not result.crashed and told in result["msg"] and "\n" not in result["msg"], result["msg"]
    assert not list(tmp_path.iterdir()), "nothing was made"


def test_places_of_somebody_else_are_left_alone(base: Args, tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("a file")
    assert run_module("cert_rotate", base)["msg"] == f"path: {tmp_path}/tls is no folder; remove it, or choose another place"
    (tmp_path / "tls").unlink()
    (tmp_path / "tls" / "current").mkdir(parents=True)
    assert "is no link that this module made" in run_module("cert_rotate", base)["msg"]
    (tmp_path / "tls" / "current").rmdir()
    (tmp_path / "k.p12").write_text("mine")
    told = run_module("cert_rotate", {**base, "keystore_password": "changeit", "keystore_path": f"{tmp_path}/k.p12"})["msg"]
    assert told.startswith(f"keystore_path: {tmp_path}/k.p12 is a file that somebody else made") and (tmp_path / "k.p12").read_text() == "mine"


def test_authorities_that_can_not_sign(base: Args, tmp_path: Path) -> None:
    accepted(run_module("cert_rotate", base))
    ca, key = tmp_path / "ca" / "ca.crt", tmp_path / "ca" / "ca.key"
    good = ca.read_bytes(), key.read_bytes()
    wanted = {**base, "force": True}
    other, other_key = make.authority("", 3650 * DAY, [], time.time())
    old, old_key = make.authority("", 10 * DAY, [], time.time() - 20 * DAY)
    narrow, narrow_key = make.authority("", 10 * DAY, [("DNS", "example.com")], time.time())
    leaf = (tmp_path / "tls" / "current" / "tls.crt").read_bytes()

    def encrypted(one: t.Any) -> bytes:
        return model.key_pem(one, "correct horse battery")

    cases = [
        (good[0], good[1], {"ca_key_passphrase": "wrong horse"}, f"ca_key_path: {key}: the passphrase is wrong"),
        (good[0], good[1], {"ca_key_passphrase": None}, f"ca_key_path: {key}: the key is encrypted"),
        (model.pem([other]), good[1], {}, f"ca_key_path: the key {key} does not belong to {ca}"),
        (leaf, good[1], {}, "ca_certificate_path: the first certificate"),
        (model.pem([old]), encrypted(old_key), {}, "ca_certificate_path: the authority is of no use: it expired on "),
        (model.pem([narrow]), encrypted(narrow_key), {},
         "ca_certificate_path: the authority may not sign for caching-service, localhost (its name constraints)"),
        (b"x", good[1], {}, f"ca_certificate_path: {ca}: it holds no certificate"), (good[0], b"x", {}, f"ca_key_path: {key}: it holds no private key"),
        (good[0], None, {}, f"ca_key_path: {key} is not there, but its certificate is"),
        (None, good[1], {}, f"ca_certificate_path: {ca} is not there, and the key {key} is"),
    ]
    served = snapshot(tmp_path / "tls")
    for certificate, secret, change, told in cases:
        for path, content in ((ca, certificate), (key, secret)):
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)
                path.chmod(0o600)
        for check in (True, False):
            result = run_module("cert_rotate", {name: value for name, value in {**wanted, **change}.items() if value is not None}, check=check)
            assert result.get("failed") and not result.crashed and result["msg"].startswith(told), (told, result["msg"])
        assert snapshot(tmp_path / "tls") == served
    ca.write_bytes(model.pem([other]))
    key.write_bytes(model.key_pem(other_key))
    key.chmod(0o644)
    told = accepted(run_module("cert_rotate", wanted))
    assert "is not encrypted" in str(told["warnings"]) and "can be read by others" in str(told["warnings"])


def test_an_authority_that_ends_is_told_and_does_not_renew_for_ever(base: Args, tmp_path: Path) -> None:
    short = {**base, "ca_validity": "P20D"}
    first = accepted(run_module("cert_rotate", short))
    assert first["certificate"]["not_after"] == first["authority"]["not_after"]
    again = accepted(run_module("cert_rotate", short))
    assert not again["changed"] and "make a new one at another path in time" in str(again["warnings"])


def test_so_where_it_is_requested_where_it_is_used(base: Args, tmp_path: Path) -> None:
    accepted(run_module("cert_rotate", {**base, "ca_validity": "P20D"}))
    told = accepted(run_module("cert_rotate", {**base, "state": "authority"}))
    assert not told["changed"] and "make a new one at another path in time" in str(told["warnings"])
    asked = {**base, "state": "requested", "chain_content": told["chain_content"]}
    assert not accepted(run_module("cert_rotate", asked))["changed"]
    assert "it expires in" in accepted(run_module("cert_rotate", {**asked, "chain_content": None}))["reason"]


def test_what_a_plan_for_a_fleet_is_told(base: Args, provided: Args, others: Others, tmp_path: Path) -> None:
    """Whether what is there can stay, what beside it is not as declared, which root comes, and which roots are over."""
    over, over_key = make.authority("Over", DAY, [], time.time() - 10 * DAY)
    assert over_key and accepted(run_module("cert_rotate", base))["changed"]
    look = {**base, "state": "requested", "trusted_certificates": [model.pem([over]).decode()]}
    assert accepted(run_module("cert_rotate", look, check=True))["judged"] == {
        "stays": True, "drift": [], "root": None, "expired_roots": [model.fingerprint(over)]}
    (tmp_path / "tls/current/tls.key").chmod(0o640)
    drift = accepted(run_module("cert_rotate", {**look, "keystore_password": "changeit"}, check=True))["judged"]["drift"]
    assert len(drift) == 2 and "tls.key" in drift[0] and drift[1] == "there are no keystores yet"
    given = others.sign("caching-service", "localhost")
    to_come = accepted(run_module("cert_rotate", {**provided, **given}, check=True))
    assert to_come["renewed"] and to_come["judged"]["stays"] and to_come["judged"]["root"]["certificate_content"] == others.root
    (tmp_path / "tls/current/ca.crt").unlink()
    assert not accepted(run_module("cert_rotate", look, check=True))["judged"]["stays"], "nobody is trusted who has signed it"


# ---- another authority, in three steps


@pytest.mark.hazard("H54")
def test_an_authority_is_changed_without_a_moment_of_distrust(base: Args, tmp_path: Path) -> None:
    """Three members: after each single step everybody trusts everybody, and out of order it is refused or does not narrow."""
    old = {name: value for name, value in base.items() if name.startswith("ca_")}
    new = {**old, "ca_certificate_path": f"{tmp_path}/new/ca.crt", "ca_key_path": f"{tmp_path}/new/ca.key"}
    members = [{"name": f"member-{number}", "subject_alt_names": ["localhost"], "path": f"{tmp_path}/member-{number}"} for number in range(3)]
    for member in members:
        accepted(run_module("cert_rotate", {**member, **old}))
    first = accepted(run_module("cert_rotate", {**members[0], **old}))["authority"]["certificate_content"]
    second = accepted(run_module("cert_rotate", {"name": "new", **new, "state": "authority"}))["authority"]["certificate_content"]
    phases: list[Args] = [{**old, "trusted_certificates": [first, second]}, {**new, "trusted_certificates": [first, second]},
                          {**new, "trusted_certificates": [second]}]
    looks = 0
    for number, phase in enumerate(phases):
        for member in members:
            changed = accepted(run_module("cert_rotate", {**member, **phase}))
            assert changed["changed"] and changed["renewed"] is (number == 1), changed["reason"]
            for server in members:
                tls = Path(server["path"]) / "current"
                with tls_server(tls / "tls.crt", tls / "tls.key", tls / "ca.crt") as port:
                    for client in members:
                        mine = Path(client["path"]) / "current"
                        assert shake(strict_client(mine / "ca.crt", (mine / "tls.crt", mine / "tls.key")), port, "localhost") == ""
                        looks += 1
    assert looks == 81 and {root["subject"] for root in accepted(run_module("cert_rotate", {**members[0], **phases[2]}))["trusted"]} == {
        model.facts(model.certificates(second, "x")[0]).subject}
    back = accepted(run_module("cert_rotate", {**members[0], **new, "state": "rolled_back"}))
    assert len(back["trusted"]) == 2, "a version has the roots that it was served with"


def test_trust_is_never_narrowed_by_itself(base: Args, tmp_path: Path) -> None:
    accepted(run_module("cert_rotate", base))
    changed = step(tmp_path, {**base, "ca_certificate_path": f"{tmp_path}/new/c", "ca_key_path": f"{tmp_path}/new/k"}, True,
                   "there is no authority yet; its issuer is ")
    assert len(changed["trusted"]) == 2 and changed["renewed"]


# ---- secrets


def test_no_key_and_no_password_is_anywhere_else(base: Args, others: Others, tmp_path: Path) -> None:
    """Every result at the highest verbosity, the command lines, and all temporary files."""
    phrase, password = f"phrase-{secrets.token_hex(16)}", f"store-{secrets.token_hex(16)}"
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    given = others.sign("caching-service", "localhost")
    provided = {"name": "caching-service", "provider": "provided", "path": f"{tmp_path}/given", "subject_alt_names": ["caching-service"], **given}
    secret = {**base, "ca_key_passphrase": phrase, "keystore_password": password}
    alone = {name: value for name, value in provided.items() if name != "key_content"}      # which is hidden by itself
    outputs = []
    with canary.CommandLines() as lines:
        for args in (secret, {**secret, "force": True}, {**secret, "state": "rolled_back"}, {**secret, "state": "requested", "force": True},
                     {**secret, "keystore_password": password + "x"},
                     {**alone, "certificate_content": given["certificate_content"] + given["key_content"]},
                     provided, {**provided, "force": True}, {**provided, "certificate_content": others.root},
                     {**secret, "ca_key_passphrase": phrase + "x", "force": True}):
            for check in (True, False):
                result = run_module("cert_rotate", args, check=check, verbosity=4, env={"TMPDIR": str(temporary)})
                outputs.append(result.stdout + result.stderr)
    keys = [path.read_bytes() for path in tmp_path.rglob("tls.key")] + [given["key_content"].encode(), (tmp_path / "ca" / "ca.key").read_bytes()]
    assert len(keys) >= 7
    parts = {line for key in keys for line in key.decode().splitlines() if len(line) > 30 and "PRIVATE" not in line}
    sought = canary.Canaries(phrase=phrase, password=password, **{f"key{number}": part for number, part in enumerate(parts)})
    for number, text in enumerate(outputs):
        assert sought.in_text(text, f"output {number}") == [] and "PRIVATE KEY" not in text.replace("ENCRYPTED PRIVATE KEY", "")
    assert lines.findings(sought) == [] and list(temporary.iterdir()) == []
    places = {finding.place for path in tmp_path.iterdir() for finding in sought.in_folder(path)}
    assert {Path(place).name for place in places} <= {"tls.key", "ca.key"}
    assert json.loads(outputs[1])["changed"] is True
