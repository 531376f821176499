# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates in Secrets: which requests are made, in which order, and what they leave when one is lost or comes too late.

The API here is a table with the rules that matter (versions of objects, immutable ones, conflicts); the real one is tried in
tests/integration/platforms/test_kubernetes_certificates.py.
"""

from __future__ import annotations

import base64
import copy
import json
import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources import cert_secret
from ansible_collections.exalt.caching.plugins.module_utils._resources.cert_rotate import Job
from kubernetes import client
from kubernetes.client.exceptions import ApiException

DEFAULTS: dict[str, t.Any] = {
    "name": "caching-service", "provider": "selfsigned", "state": "present", "subject_alt_names": ["caching-service"], "usages": ["server", "client"],
    "key_type": "ecdsa-p256", "validity": "P90D", "renew_before": "P30D", "force": False, "trusted_certificates": None, "destination": "kubernetes_secret",
    "namespace": "caching-system", "secret": "caching-service-tls", "versioned": False, "keep_previous": 2,
    **dict.fromkeys(("common_name", "organization", "owner", "group", "path", "keystore_password", "keystore_path", "kubeconfig", "context",
                     "certificate_content",
                     "certificate_path", "key_content", "key_path", "chain_content", "chain_path", "csr_content")),
}


class Api:
    """Secrets of one namespace."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, t.Any]] = {}
        self.calls: list[str] = []
        self.before: dict[str, t.Callable[[], None]] = {}    # what somebody else does just before a call
        self.lost: set[str] = set()                           # calls whose answer never comes
        self.number = 0

    def _begin(self, verb: str, name: str) -> None:
        self.calls.append(f"{verb} {name}".strip())
        if verb in self.before:
            self.before.pop(verb)()

    def _end(self, verb: str) -> None:
        if verb in self.lost:
            raise KeyboardInterrupt(f"killed after {verb}")

    def _put(self, name: str, body: dict[str, t.Any]) -> None:
        self.number += 1
        body = copy.deepcopy(body)
        body["metadata"]["resourceVersion"] = str(self.number)
        self.held[name] = body

    def _object(self, name: str) -> client.V1Secret:
        body = self.held[name]
        meta = {key: body["metadata"].get(key) for key in ("labels", "annotations")}
        return client.V1Secret(metadata=client.V1ObjectMeta(name=name, resource_version=body["metadata"]["resourceVersion"], **meta),
                               data=body["data"], type=body["type"], immutable=body.get("immutable"))

    def read_namespaced_secret(self, name: str, _namespace: str, **_options: t.Any) -> client.V1Secret:
        self._begin("get", name)
        if name not in self.held:
            raise ApiException(404)
        return self._object(name)

    def list_namespaced_secret(self, _namespace: str, label_selector: str, **_options: t.Any) -> client.V1SecretList:
        self._begin("list", "")
        label, _sign, value = label_selector.partition("=")
        return client.V1SecretList(items=[self._object(name) for name, one in self.held.items() if (one["metadata"].get("labels") or {}).get(label) == value])

    def create_namespaced_secret(self, _namespace: str, body: dict[str, t.Any], **_options: t.Any) -> None:
        name = body["metadata"]["name"]
        self._begin("create", name)
        if name in self.held:
            raise ApiException(409)
        assert body["type"] != "kubernetes.io/tls" or {"tls.crt", "tls.key"} <= set(body["data"]), "as the API server wants it"
        self._put(name, body)
        self._end("create")

    def replace_namespaced_secret(self, name: str, _namespace: str, body: dict[str, t.Any], **_options: t.Any) -> None:
        self._begin("update", name)
        have = self.held[name]
        if have["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise ApiException(409)
        assert not have.get("immutable") and have["type"] == body["type"] and {"tls.crt", "tls.key"} <= set(body["data"])
        self._put(name, body)
        self._end("update")

    def delete_namespaced_secret(self, name: str, _namespace: str, **_options: t.Any) -> None:
        self._begin("delete", name)
        self.held.pop(name)
        self._end("delete")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    made = Api()
    monkeypatch.setattr(cert_secret, "_connect", lambda *_options: made)
    return made


def job(**options: t.Any) -> Job:
    return Job({**DEFAULTS, **options}, lambda _text: None)


def done(**options: t.Any) -> dict[str, t.Any]:
    one = job(**options)
    changed, planned = one.plan()
    return {**planned, "changed": changed, **(one.act() if changed else {})}


def data(api: Api, name: str = "caching-service-tls") -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in api.held[name]["data"].items()}


def test_in_place_is_one_request_and_nothing_the_second_time(api: Api) -> None:
    first = done()
    assert first["changed"] and first["version"] == 1 and first["secret"] == {"namespace": "caching-system", "name": "caching-service-tls"}
    assert [call for call in api.calls if not call.startswith("get")] == ["create caching-service-tls"]
    held = api.held["caching-service-tls"]
    assert held["type"] == "kubernetes.io/tls" and set(held["data"]) == {"tls.crt", "tls.key", "ca.crt"}
    assert held["metadata"]["annotations"] == {"exalt.caching/version": "1"}
    api.calls.clear()
    assert not done()["changed"] and set(api.calls) == {"get caching-service-tls"}


@pytest.mark.hazard("H49", "H52")
def test_in_place_keeps_its_name_what_others_put_there_and_earlier_versions(api: Api) -> None:
    done()
    api.held["caching-service-tls"]["data"]["notes"] = base64.b64encode(b"by hand").decode()
    api.held["caching-service-tls"]["metadata"]["labels"]["team"] = "caching"
    old = data(api)
    second = done(force=True)
    now = data(api)
    assert second["version"] == 2 and now["notes"] == b"by hand" and now["tls.key"] != old["tls.key"]
    assert api.held["caching-service-tls"]["metadata"]["labels"]["team"] == "caching"
    rows = json.loads(now["previous"])
    assert [row["number"] for row in rows] == [1] and base64.b64decode(rows[0]["files"]["tls.key"]) == old["tls.key"]
    for _again in range(3):
        done(force=True)
    assert [row["number"] for row in json.loads(data(api)["previous"])] == [4, 3] and len(api.held) == 1
    back = done(state="rolled_back")
    assert back["changed"] and back["version"] == 6 and back["reason"] == "version 5 is rolled back to version 4"
    assert not done(state="rolled_back")["changed"]
    assert api.held["caching-service-tls"]["metadata"]["annotations"] == {"exalt.caching/version": "6", "exalt.caching/rolled-back-from": "5"}
    assert not done()["changed"], "it is a good certificate"
    assert done(force=True)["version"] == 7 and "exalt.caching/rolled-back-from" not in api.held["caching-service-tls"]["metadata"]["annotations"]


def test_the_way_back_keeps_the_keystores(api: Api) -> None:
    """A version of a series comes back with its own; in place none are kept, so that they can't be dropped unasked."""
    for force in (False, True):
        done(versioned=True, keystore_password="changeit", force=force)
    one = data(api, "caching-service-tls-1")
    planned = job(versioned=True, state="rolled_back").plan()[1]
    assert planned["diff"]["after"]["keystores"] is True
    assert done(versioned=True, state="rolled_back")["version"] == 3 and data(api, "caching-service-tls-3") == one and "keystore.p12" in one
    for force in (False, True):
        done(keystore_password="changeit", force=force)
    with pytest.raises(CachingError, match="keystore_password: there are keystores now, and none are kept of version 1"):
        done(state="rolled_back")
    assert done(state="rolled_back", keystore_password="changeit")["version"] == 3 and "keystore.p12" in data(api)


def test_a_secret_that_somebody_else_made_is_judged_and_kept_for_the_way_back(api: Api) -> None:
    made = done()
    held = api.held["caching-service-tls"]
    held["metadata"].pop("annotations")
    held["metadata"].pop("labels")
    del held["data"]["ca.crt"]
    before = data(api)["tls.crt"]
    found = done(subject_alt_names=["caching-service", "other"])
    assert found["changed"] and found["version"] == 1 and found["previous"]["fingerprint"] == made["certificate"]["fingerprint"]
    assert base64.b64decode(json.loads(data(api)["previous"])[0]["files"]["tls.crt"]) == before


def test_an_empty_secret_is_filled(api: Api) -> None:
    """So the account that fills it needs no right to create others."""
    api._put("caching-service-tls", {"metadata": {"name": "caching-service-tls"}, "type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}})
    assert done()["version"] == 1 and api.calls.count("update caching-service-tls") == 1 and "create caching-service-tls" not in api.calls


def test_who_comes_too_late_looks_again(api: Api) -> None:
    done()
    api.before["update"] = lambda: api._put("caching-service-tls", {**api.held["caching-service-tls"], "type": "kubernetes.io/tls"})
    second = done(subject_alt_names=["caching-service", "other"])
    assert second["changed"] and second["version"] == 2 and api.calls.count("update caching-service-tls") == 2

    def other_run() -> None:
        done(subject_alt_names=["caching-service", "third"])

    api.before["update"] = other_run
    late = done(subject_alt_names=["caching-service", "third"])
    assert not late["changed"] and late["version"] == 3, "the other run has done it"


def test_two_that_create_make_one(api: Api) -> None:
    api.before["create"] = lambda: done() and None
    late = done()
    assert not late["changed"] and late["version"] == 1


def test_a_request_waits_in_the_secret_and_is_used_up(api: Api) -> None:
    asked = done(state="requested", provider="provided")
    assert asked["changed"] and asked["csr"].startswith("-----BEGIN CERTIFICATE REQUEST")
    assert data(api)["tls.crt"] == b"" and set(json.loads(data(api)["requested"])) == {"tls.key", "tls.csr"}
    again = done(state="requested", provider="provided")
    assert not again["changed"] and again["csr"] == asked["csr"]
    other = done(state="requested", provider="provided", subject_alt_names=["another"])
    assert other["changed"] and other["csr"] != asked["csr"]


@pytest.mark.parametrize("verb", ["create", "update"])
def test_killed_in_place_it_was_done_or_not(api: Api, verb: str) -> None:
    if verb == "update":
        done()
    api.lost = {verb}
    with pytest.raises(KeyboardInterrupt):
        done(subject_alt_names=["caching-service", "other"])
    api.lost = set()
    again = done(subject_alt_names=["caching-service", "other"])
    assert not again["changed"] and again["certificate"]["names"] == ["caching-service", "other"]


def test_versions_are_secrets_of_their_own(api: Api) -> None:
    first = done(versioned=True)
    assert first["secret"]["name"] == "caching-service-tls-1" and api.held["caching-service-tls-1"]["immutable"] is True
    assert not done(versioned=True)["changed"]
    for number in (2, 3, 4):
        assert done(versioned=True, force=True)["secret"]["name"] == f"caching-service-tls-{number}"
    assert sorted(api.held) == [f"caching-service-tls-{number}" for number in (2, 3, 4)]
    back = done(versioned=True, state="rolled_back")
    assert back["secret"]["name"] == "caching-service-tls-5" and data(api, "caching-service-tls-5")["tls.key"] == data(api, "caching-service-tls-3")["tls.key"]
    assert not done(versioned=True, state="rolled_back")["changed"] and not done(versioned=True)["changed"]
    with pytest.raises(CachingError, match="keep_previous: versioned Secrets need at least 1"):
        job(versioned=True, keep_previous=0)


def test_versioned_runs_that_are_cut_off_are_finished(api: Api) -> None:
    for _number in range(3):
        done(versioned=True, force=True)
    for verb in ("create", "delete"):
        api.lost = {verb}
        with pytest.raises(KeyboardInterrupt):
            done(versioned=True, force=True)
        api.lost = set()
        served = done(versioned=True)
        assert not done(versioned=True)["changed"] and served["secret"]["name"] in api.held and len(api.held) == 3
    asked = done(versioned=True, state="requested", force=True)
    assert asked["csr"] and api.held["caching-service-tls-requested"]["type"] == "Opaque"
    assert done(versioned=True, state="requested", force=True)["csr"] == asked["csr"]


def test_refusals_are_one_line_without_contents(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = base64.b64encode(b"the private part of a key" * 4).decode()

    def refused(*_arguments: t.Any, **_options: t.Any) -> None:
        error = ApiException(403, "Forbidden")
        error.body = json.dumps({"message": f"secrets is forbidden: data {secret}"})
        raise error

    monkeypatch.setattr(api, "create_namespaced_secret", refused)
    with pytest.raises(CachingError) as told:
        done()
    assert told.value.message == ("secret: create of caching-system/caching-service-tls was refused with 403: secrets is forbidden: data …"
                                  "; the account needs create on secrets in caching-system")
    monkeypatch.undo()
    with pytest.raises(CachingError, match="^kubeconfig: there is no file /nowhere on the host"):
        job(kubeconfig="/nowhere")


def test_an_immutable_secret_is_told(api: Api) -> None:
    done()
    api.held["caching-service-tls"]["immutable"] = True
    with pytest.raises(CachingError, match="is immutable; use versioned"):
        done(force=True)


def test_what_is_damaged_is_replaced(api: Api) -> None:
    done()
    for name, bad in (("tls.crt", b"x"), ("tls.key", b"x"), ("tls.key", b"")):
        api.held["caching-service-tls"]["data"][name] = base64.b64encode(bad).decode()
        assert done()["changed"] and not done()["changed"]
    api.held["caching-service-tls"]["data"]["previous"] = base64.b64encode(b"{").decode()
    assert not done()["changed"]
