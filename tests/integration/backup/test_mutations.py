# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever somebody does to the objects of a backup is found. What can't be found: that a whole set, or the record of its
verification, was taken away (docs/backups.md)."""

from __future__ import annotations

import json
import os
import random
import shutil
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrage
import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _manifest
from ansible_collections.exalt.caching.plugins.module_utils._resources import verification
from ansible_collections.exalt.caching.plugins.module_utils._resources.catalogue import Catalogue
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store

from tests.harness import datasets
from tests.harness.modules import run_module
from tests.harness.scratch import Scratch
from tests.harness.sequence import accepted

KEY = "a key for the tests"
COUNT = 1000 if os.environ.get("TRIALS") else 160
Mutation = Callable[[Path, Path, random.Random], str]


class Sets(t.NamedTuple):
    """A store with an older set and the one that is mutated, each plain and encrypted."""

    store: Path
    plain: str
    older: str
    encrypted: str
    identity: str


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sets]:
    folder = tmp_path_factory.mktemp("mutations")
    identity = pyrage.x25519.Identity.generate()
    with Scratch(folder / "cluster", shards=3) as scratch:
        datasets.fill(scratch, 7, 120)
        args = {**scratch.args, "store_url": f"file://{folder}/store", "cluster": "demo", "signing_key": KEY, "read_from": "any"}
        ids = [accepted(run_module("redis_backup", {**args, **more}))["backup"]["id"] for more in ({}, {}, {"encrypt_to": [str(identity.to_public())]})]
    yield Sets(folder / "store", ids[1], ids[0], ids[2], str(identity))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != _manifest.VERIFIED)


def bit(folder: Path, _older: Path, chance: random.Random) -> str:
    path = chance.choice(sorted(folder.iterdir()))
    raw = bytearray(path.read_bytes())
    place = chance.randrange(len(raw))
    raw[place] ^= 1 << chance.randrange(8)
    path.write_bytes(raw)
    return f"{path.name} byte {place}"


def cut(folder: Path, _older: Path, chance: random.Random) -> str:
    path = chance.choice(sorted(folder.iterdir()))
    size = chance.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"{path.name} at {size}"


def grown(folder: Path, _older: Path, chance: random.Random) -> str:
    path = chance.choice(sorted(folder.iterdir()))
    path.write_bytes(path.read_bytes() + chance.randbytes(chance.randrange(1, 99)))
    return path.name


def swapped(folder: Path, _older: Path, chance: random.Random) -> str:
    one, two = chance.sample([path for path in files(folder) if path.name.startswith("shard")], 2)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    return f"{one.name} {two.name}"


def replaced(folder: Path, older: Path, chance: random.Random) -> str:
    """An object of an older backup in the place of the new one."""
    path = chance.choice([path for path in sorted(older.iterdir()) if path.suffix != ".json"])
    target = next(one for one in folder.iterdir() if one.name.startswith(path.name.split(".")[0]))
    target.write_bytes(path.read_bytes() + b"" if path.read_bytes() != target.read_bytes() else path.read_bytes()[::-1])
    return path.name


def deleted(folder: Path, _older: Path, chance: random.Random) -> str:
    path = chance.choice(files(folder))
    path.unlink()
    return path.name


def renamed(folder: Path, _older: Path, chance: random.Random) -> str:
    path = chance.choice(files(folder))
    path.rename(path.with_name("shard-00000-16383.rdb.zst"))
    return path.name


def old_manifest(folder: Path, older: Path, _chance: random.Random) -> str:
    shutil.copy(older / _manifest.MANIFEST, folder / _manifest.MANIFEST)
    return ""


def old_verification(folder: Path, older: Path, _chance: random.Random) -> str:
    shutil.copy(older / _manifest.VERIFIED, folder / _manifest.VERIFIED)
    return ""


def whole_old_set(folder: Path, older: Path, _chance: random.Random) -> str:
    """An old backup under the id of the new one."""
    shutil.rmtree(folder)
    shutil.copytree(older, folder)
    return ""


def forged(folder: Path, _older: Path, chance: random.Random) -> str:
    """A manifest that fits its objects, but was not signed with the key."""
    content = json.loads((folder / _manifest.MANIFEST).read_bytes())["content"]
    content["shards"][0]["key_count"] += chance.choice([0, 1])
    way = chance.choice(["another key", "unsigned", "the old signature", "another kind of document"])
    if way == "the old signature":
        content["kind"] = "safety"
        document = json.loads((folder / _manifest.MANIFEST).read_bytes())
        raw = _manifest.canonical({**document, "content": content}) + b"\n"
    elif way == "another kind of document":
        raw = _manifest.signed("verification", content, KEY)
    else:
        raw = _manifest.signed("manifest", content, None if way == "unsigned" else "the key of somebody else")
    (folder / _manifest.MANIFEST).write_bytes(raw)
    return way


MUTATIONS: tuple[Mutation, ...] = (bit, bit, bit, cut, grown, swapped, replaced, deleted, renamed, old_manifest, old_verification, whole_old_set, forged)


def found(store: Path, identifier: str, identities: t.Sequence[str]) -> str:
    """What reading the set says of it: nothing where it is taken for good."""
    catalogue = Catalogue(open_store({"store_url": f"file://{store}"}), "demo", KEY, identities)
    one = next((one for one in catalogue.sets() if one.id == identifier), None)
    if one is None:
        return "it is incomplete"
    verification.survey(catalogue, [one], "structure")
    assert (catalogue.newest(found=[one]) is None) is bool(one.problem)
    return one.problem


@pytest.mark.hazard("H34", "H35")
@pytest.mark.parametrize("encrypted", [False, True])
def test_every_mutation_is_found(sets: Sets, tmp_path: Path, encrypted: bool) -> None:
    name = sets.encrypted if encrypted else sets.plain
    assert found(sets.store, name, [sets.identity]) == "" and found(sets.store, sets.older, []) == "", "the control: what nobody touched is good"
    missed = []
    for seed in range(COUNT // 2):
        chance = random.Random(f"{encrypted} {seed}")
        copy = tmp_path / "store"
        shutil.copytree(sets.store, copy)
        mutation = MUTATIONS[seed % len(MUTATIONS)]
        what = mutation(copy / "backups/demo" / name, copy / "backups/demo" / sets.older, chance)
        # half of them as a backup job sees it that can't decrypt
        told = found(copy, name, [sets.identity] if seed % 2 else [])
        if not told or "\n" in told:
            missed.append((seed, mutation.__name__, what, told))
        shutil.rmtree(copy)
    assert missed == []


def test_a_hold_and_a_name_lead_nowhere_else(sets: Sets, tmp_path: Path) -> None:
    """A signed manifest of the own key that names an object elsewhere is refused, too."""
    for bad in ("../../secret", "/etc/passwd", "shard-00000-16383.rdb.zst/../x", "manifest.json", ""):
        copy = tmp_path / "store"
        shutil.copytree(sets.store, copy)
        path = copy / "backups/demo" / sets.plain / _manifest.MANIFEST
        content = json.loads(path.read_bytes())["content"]
        content["shards"][0]["object"] = bad
        path.write_bytes(_manifest.signed("manifest", content, KEY))
        assert "is no name of an object" in found(copy, sets.plain, [])
        shutil.rmtree(copy)
