# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cert_rotate is killed before every step on the disk, and told at every step that the disk is full: something whole serves, and the next run finishes.

Every fourth step is tried, with another beginning for each scene; `EXALT_CERT_STEPS=1` tries all of them.
"""

from __future__ import annotations

import os
import shutil
import ssl
import stat
import typing as t
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from tests.harness.modules import run_module
from tests.harness.sequence import accepted
from tests.harness.steps import Steps

EVERY = int(os.environ.get("EXALT_CERT_STEPS", "4"))
Args = dict[str, t.Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def steps(place: Path) -> Iterator[Steps]:
    with Steps(place / "now") as found:
        yield found


@pytest.fixture
def base(place: Path) -> Args:
    """Everything at once: an authority, keystores, a link, one version kept."""
    now = place / "now"
    return {"name": "caching-service", "ca_certificate_path": f"{now}/ca/ca.crt", "ca_key_path": f"{now}/ca/ca.key",
            "ca_key_passphrase": "correct horse battery",
            "subject_alt_names": ["caching-service"], "path": f"{now}/tls", "keystore_password": "changeit", "keystore_path": f"{now}/jvm/keystore.p12",
            "keep_previous": 1}


def served(now: Path) -> str:
    """The fingerprint of what serves, after it was loaded as a server does and verified as a client does; empty where nothing serves yet."""
    current = now / "tls" / "current"
    if not os.path.lexists(current):
        return ""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(current / "tls.crt", current / "tls.key")
    leaf = x509.load_pem_x509_certificate((current / "tls.crt").read_bytes())
    assert any(_signed(leaf, root) for root in x509.load_pem_x509_certificates((current / "ca.crt").read_bytes()))
    assert {path.name for path in current.iterdir()} >= {"keystore.p12", "truststore.p12", "tls.crt", "tls.key", "ca.crt"}
    return leaf.fingerprint(leaf.signature_hash_algorithm).hex() if leaf.signature_hash_algorithm else ""


def _signed(leaf: x509.Certificate, root: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(root)
    except Exception:
        return False
    return True


def keys_are_safe(now: Path) -> None:
    """Wherever a key is, nobody else may read it; in clear it is only below the folder of the versions and of the request."""
    for path in now.rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        content = path.read_bytes()
        if b"PRIVATE KEY" in content or path.name == "keystore.p12":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        if b"BEGIN PRIVATE KEY" in content:
            assert path.is_relative_to(now / "tls") and path.name == "tls.key", path


def tidy(now: Path, versions: int) -> None:
    """Nothing is left of what was cut off."""
    names = sorted(path.name for path in (now / "tls").iterdir())
    assert names == ["current", "versions"], names
    found = sorted(path.name for path in (now / "tls" / "versions").iterdir())
    assert len(found) <= versions and all(name.isdigit() for name in found), found
    assert sorted(path.name for path in (now / "ca").iterdir()) == ["ca.crt", "ca.key"]
    assert os.readlink(now / "jvm" / "keystore.p12") == f"{now}/tls/current/keystore.p12" and (now / "jvm" / "keystore.p12").exists()


SCENES: dict[str, tuple[int, Args]] = {     # how many certificates are there before, and what is asked for
    "first": (0, {}), "renewal": (2, {"subject_alt_names": ["caching-service", "other"]}), "rollback": (2, {"state": "rolled_back"}),
    "request": (1, {"state": "requested", "subject_alt_names": ["caching-service", "other"]}),
}


def staged(place: Path, base: Args, before: int) -> Path:
    """The stage of a scene, made once and copied for every trial."""
    stage, now = place / f"stage-{before}", place / "now"
    if not stage.exists():
        shutil.rmtree(now, ignore_errors=True)
        now.mkdir()
        for number in range(before):
            accepted(run_module("cert_rotate", {**base, "force": number > 0}))
        now.rename(stage)
    shutil.rmtree(now, ignore_errors=True)
    shutil.copytree(stage, now, symlinks=True)
    return now


@pytest.mark.slow
@pytest.mark.hazard("H49")
@pytest.mark.parametrize("how", ["kill", "full"])
@pytest.mark.parametrize("scene", SCENES)
def test_at_every_step_something_whole_serves_and_the_next_run_finishes(steps: Steps, place: Path, base: Args, scene: str, how: str) -> None:
    before, change = SCENES[scene]
    wanted = {**base, **change}
    now = staged(place, base, before)
    whole = steps.run("cert_rotate", wanted)
    assert whole.result and whole.result.get("changed"), whole.result
    total, tried, failed = len(whole.steps), 0, 0
    chosen = range(1 + len(scene + how) % EVERY, total + 1, EVERY)
    for step in chosen:
        now = staged(place, base, before)
        old = served(now)
        ended = steps.run("cert_rotate", wanted, **{how: step})
        assert len(ended.steps) >= step - 1
        if how == "kill":
            assert ended.result is None
        elif ended.result and ended.result.get("failed"):
            failed += 1
            assert "No space left on device" in ended.result["msg"] and "\n" not in ended.result["msg"], ended.result
        between = served(now)
        assert between or not before, f"{scene}: nothing serves after step {step}"
        keys_are_safe(now)
        assert "requested" not in wanted.get("state", "") or between == old, "a request changes nothing that serves"
        finished = steps.run("cert_rotate", wanted).result
        assert finished and not finished.get("failed"), (step, whole.steps[step - 1], finished)
        again = steps.run("cert_rotate", wanted).result
        assert again and again["changed"] is False and again["csr"] == finished["csr"], (step, again)
        if scene == "request":
            assert finished["csr"] and served(now) == old
            (now / "tls" / "requested" / "tls.key").unlink()
            shutil.rmtree(now / "tls" / "requested")
        else:
            assert served(now) != old and again["certificate"] == finished["certificate"]
        tidy(now, 2)
        keys_are_safe(now)
        tried += 1
    print(f"{scene}, {how}: {tried} of {len(chosen)} steps of {total}, {failed} errors told")
    assert tried == len(chosen) and (how == "kill" or failed > tried / 4)


@pytest.mark.slow
def test_a_request_that_is_completed_can_be_cut_off_anywhere(steps: Steps, place: Path, base: Args) -> None:
    """Its key has to survive until the certificate serves."""
    now = staged(place, base, 1)
    names = ["caching-service", "other"]
    authority = {name: value for name, value in base.items() if name.startswith("ca_")}
    asked = accepted(run_module("cert_rotate", {**base, "state": "requested", "subject_alt_names": names}))
    signed = accepted(run_module("cert_rotate",
                                 {"name": "caching-service", "state": "signed", "csr_content": asked["csr"], "subject_alt_names": names, **authority}))
    plain = {name: value for name, value in base.items() if not name.startswith("ca_")}
    wanted = {**plain, "provider": "provided", "subject_alt_names": names, "certificate_content": signed["certificate_content"],
              "chain_content": signed["chain_content"]}
    stage = place / "stage-requested"
    shutil.copytree(now, stage, symlinks=True)
    total = len(steps.run("cert_rotate", wanted).steps)
    for step in range(1, total + 1, EVERY):
        shutil.rmtree(now)
        shutil.copytree(stage, now, symlinks=True)
        assert steps.run("cert_rotate", wanted, kill=step).result is None and served(now)
        keys_are_safe(now)
        finished = steps.run("cert_rotate", wanted).result
        assert finished and not finished.get("failed") and finished["certificate"]["fingerprint"] == signed["certificate"]["fingerprint"], (step, finished)
        assert not (steps.run("cert_rotate", wanted).result or {})["changed"]
        tidy(now, 2)
    print(f"completion: {total} steps")


def test_files_that_may_not_grow(steps: Steps, place: Path, base: Args) -> None:
    """A quota: the new certificate does not fit, the old one serves."""
    for limit in (1, 100, 250, 800, 1200):
        now = staged(place, base, 1)
        old = served(now)
        result = steps.run("cert_rotate", {**base, "force": True}, limit=limit).result
        assert result and result["failed"] and result["msg"] == f"path: {now}/tls: File too large; what served before serves on" and served(now) == old
        tidy(now, 1)
    shutil.rmtree(place / "now")
    result = steps.run("cert_rotate", base, limit=100).result
    assert result and result["failed"] and result["msg"].startswith("ca_key_path: ") and result["msg"].endswith("File too large; there is no authority yet")
    assert not list((place / "now" / "ca").iterdir()), "not even a part of an authority"
    assert (steps.run("cert_rotate", base).result or {})["changed"]


@pytest.mark.parametrize("trial", range(4))
def test_runs_at_once_make_one_authority_and_one_certificate(tmp_path: Path, base: Args, trial: int) -> None:
    wanted = {name: value.replace(str(Path(base["path"]).parent), str(tmp_path)) if isinstance(value, str) else value for name, value in base.items()}
    with ThreadPoolExecutor(4) as threads:
        results = [accepted(one) for one in threads.map(lambda _number: run_module("cert_rotate", wanted), range(4))]
    assert len({one["certificate"]["fingerprint"] for one in results}) == 1 and len({one["authority"]["fingerprint"] for one in results}) == 1
    assert sum(one["changed"] for one in results) == 1 and sum(one["authority"]["made"] for one in results) == 1
    assert [path.name for path in (tmp_path / "tls" / "versions").iterdir()] == ["0001"]


def test_two_destinations_at_once_make_one_authority(tmp_path: Path, base: Args) -> None:
    shared = {name: value.replace(str(Path(base["path"]).parent), str(tmp_path)) if isinstance(value, str) else value for name, value in base.items()}
    del shared["keystore_path"]
    with ThreadPoolExecutor(3) as threads:
        results = [accepted(one) for one in threads.map(lambda number: run_module("cert_rotate", {**shared, "path": f"{tmp_path}/tls-{number}"}), range(3))]
    assert len({one["authority"]["fingerprint"] for one in results}) == 1 and len({one["certificate"]["issuer"] for one in results}) == 1
    assert sum(one["authority"]["made"] for one in results) == 1
