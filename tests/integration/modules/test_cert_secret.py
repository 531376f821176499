# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cert_rotate in a Secret, through the real client library: killed before each request and after its answer, and several runs at once.

The server here is a small one (tests/harness/secrets_api.py); a real API server is asked in tests/integration/platforms.
"""

from __future__ import annotations

import base64
import copy
import json
import typing as t
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness import canary
from tests.harness.modules import run_module
from tests.harness.secrets_api import SecretsApi
from tests.harness.sequence import accepted
from tests.harness.steps import Steps

Args = dict[str, t.Any]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[SecretsApi]:
    with SecretsApi(tmp_path) as found:
        yield found


@pytest.fixture
def base(api: SecretsApi, tmp_path: Path) -> Args:
    return {"name": "caching-service", "ca_certificate_path": f"{tmp_path}/ca.crt", "ca_key_path": f"{tmp_path}/ca.key",
            "ca_key_passphrase": "correct horse battery",
            "subject_alt_names": ["caching-service"], "destination": "kubernetes_secret", "namespace": "caching-system", "secret": "caching-service-tls",
            "kubeconfig": str(api.kubeconfig), "keystore_password": "changeit", "keep_previous": 1}


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Steps]:
    """Only requests count here: nothing on the disk is below this folder."""
    with Steps(tmp_path_factory.mktemp("nothing"), "kubernetes") as found:
        yield found


def done(steps: Steps, args: Args, kill: int = 0) -> dict[str, t.Any]:
    result = steps.run("cert_rotate", args, kill=kill).result
    assert result is not None and not result.get("failed"), result
    return result


def whole(api: SecretsApi, name: str) -> bool:
    held = {key: base64.b64decode(value) for key, value in api.held[name]["data"].items()}
    return b"BEGIN CERTIFICATE" in held["tls.crt"] and b"PRIVATE KEY" in held["tls.key"] and {"ca.crt", "keystore.p12", "truststore.p12"} <= set(held)


@pytest.mark.parametrize("versioned", [False, True], ids=["in-place", "versioned"])
@pytest.mark.parametrize("state", ["present", "rolled_back", "requested"])
def test_killed_before_each_request_and_after_its_answer(api: SecretsApi, base: Args, steps: Steps, versioned: bool, state: str) -> None:
    wanted = {**base, "versioned": versioned, "state": state, **({"subject_alt_names": ["caching-service", "other"]} if state != "rolled_back" else {})}
    for number in range(2):
        done(steps, {**base, "versioned": versioned, "force": number > 0})
    stage = copy.deepcopy(api.held)
    total = steps.run("cert_rotate", wanted).steps
    assert 2 <= len(total) <= 6 and total[0].startswith("send ") and total[1].startswith("answered "), total
    for step in range(1, len(total) + 1):
        api.held = copy.deepcopy(stage)
        assert steps.run("cert_rotate", wanted, kill=step).result is None
        served = [name for name in api.held if "requested" not in name]
        assert served and all(whole(api, name) for name in served), "no Secret is ever half there"
        finished, again = done(steps, wanted), done(steps, wanted)
        assert again["changed"] is False and again["csr"] == finished["csr"] and bool(again["csr"]) is (state == "requested")
        assert len([name for name in api.held if "requested" not in name]) == (2 if versioned else 1)
    print(f"{state}, {'versioned' if versioned else 'in place'}: {len(total)} of {len(total)} kills")


def test_runs_at_once_make_one(api: SecretsApi, base: Args) -> None:
    for versioned in (False, True):
        api.held.clear()
        with ThreadPoolExecutor(4) as threads:
            results = [accepted(one) for one in threads.map(lambda _number: run_module("cert_rotate", {**base, "versioned": versioned}), range(4))]
        assert len({one["certificate"]["fingerprint"] for one in results}) == 1 and sum(one["changed"] for one in results) == 1 and len(api.held) == 1


def test_the_key_is_in_the_secret_and_nowhere_else(api: SecretsApi, base: Args, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    outputs = []
    with canary.CommandLines() as lines:
        for args in (base, {**base, "force": True}, {**base, "state": "rolled_back"}, {**base, "state": "requested", "force": True}):
            for check in (True, False):
                result = accepted(run_module("cert_rotate", args, check=check, verbosity=4, env={"TMPDIR": str(temporary)}))
                outputs.append(result.stdout + result.stderr)
    held = {key: base64.b64decode(value).decode("utf-8", "replace") for key, value in api.held["caching-service-tls"]["data"].items()}
    parts = {line for line in held["tls.key"].splitlines() if len(line) > 30 and "PRIVATE" not in line}
    sought = canary.Canaries(password="changeit", **{f"key{number}": part for number, part in enumerate(parts)})
    assert parts and [sought.in_text(text, "output") for text in outputs] == [[]] * 8 and lines.findings(sought) == []
    assert list(temporary.iterdir()) == [] and sought.in_folder(tmp_path) == []


def test_an_api_that_does_not_answer_is_one_line(base: Args, tmp_path: Path) -> None:
    with SecretsApi(tmp_path) as gone:
        pass
    result = run_module("cert_rotate", {**base, "kubeconfig": str(gone.kubeconfig)})
    assert result["failed"] and result["msg"].startswith("kubeconfig: the API server can't be reached (") and "\n" not in result["msg"], result["msg"]
    bad = tmp_path / "bad"
    for text, told in (("x: [", "kubeconfig: "), ("{}", "kubeconfig: "), (json.dumps({"apiVersion": "v1", "kind": "Config"}), "kubeconfig: ")):
        bad.write_text(text)
        result = run_module("cert_rotate", {**base, "kubeconfig": str(bad)})
        assert result["failed"] and not result.crashed and result["msg"].startswith(told) and "\n" not in result["msg"], result["msg"]
    result = run_module("cert_rotate", {**base, "context": "nowhere"})
    assert result["failed"] and result["msg"].startswith("kubeconfig: ") and "nowhere" in result["msg"], result["msg"]
