# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as files, the members that pods are, and names of the trial fleet on Kubernetes: pure parts."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.fleet.images.archive import Image, ImageError, Layer, merged, save
from tests.fleet.kubernetes import network
from tests.fleet.kubernetes.layout import NODES


@pytest.mark.parametrize(("path", "place"), [
    ("bin/sh", "usr/bin/sh"), ("/lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"), ("lib64/ld.so", "usr/lib/ld.so"),
    ("usr/sbin/runc", "usr/bin/runc"), ("./etc/passwd", "etc/passwd"), ("library/x", "library/x"), ("usr/bin/env", "usr/bin/env"),
])
def test_paths_stand_in_a_merged_usr(path: str, place: str) -> None:
    assert merged(path) == place


def layer(path: Path, word: str) -> Path:
    with Layer(path) as made:
        made.roots()
        made.file("bin/tool", word, 0o755)
        made.file("usr/bin/tool", "a second one is not taken")
        made.link("usr/bin/other", "tool")
    return path


def test_the_same_content_is_the_same_layer(tmp_path: Path) -> None:
    one, two = (layer(tmp_path / name, "x").read_bytes() for name in ("one.tar", "two.tar"))
    assert one == two and layer(tmp_path / "three.tar", "y").read_bytes() != one
    with tarfile.open(tmp_path / "one.tar") as tar:
        tool = tar.getmember("usr/bin/tool")
        assert (tool.mode, tool.uid, tool.mtime, tar.getnames().count("usr/bin/tool")) == (0o755, 0, 0, 1)
        assert tar.getmember("bin").linkname == "usr/bin" and tar.getmember("usr/bin/other").linkname == "tool"


def test_an_archive_holds_a_shared_layer_once(tmp_path: Path) -> None:
    base, top = layer(tmp_path / "base.tar", "base"), layer(tmp_path / "top.tar", "top")
    images = [Image("a/good:1", (base, top), ("tool",), {"WORD": "1"}), Image("a/bad:1", (base, top), ("tool",), {"FAULT": "slow"})]
    save(images, tmp_path / "images.tar")
    with tarfile.open(tmp_path / "images.tar") as tar:
        def read(name: str) -> bytes:
            file = tar.extractfile(name)
            assert file
            return file.read()

        manifest = json.loads(read("manifest.json"))
        assert [one["RepoTags"] for one in manifest] == [["a/good:1"], ["a/bad:1"]]
        assert manifest[0]["Layers"] == manifest[1]["Layers"] and len([name for name in tar.getnames() if name.endswith("layer.tar")]) == 2
        for one in manifest:
            config = json.loads(read(one["Config"]))
            assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(read(name)).hexdigest()}" for name in one["Layers"]]


def test_half_a_layer_is_no_layer(tmp_path: Path) -> None:
    with pytest.raises(ImageError), Layer(tmp_path / "bad.tar") as made:
        made.file("x", "x")
        raise ImageError("no")
    assert list(tmp_path.iterdir()) == []


def test_a_device_of_a_package_is_refused(tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo("./dev/null")
        info.type = tarfile.CHRTYPE
        tar.addfile(info)
    data.seek(0)
    with pytest.raises(ImageError, match="neither a file nor a link"), Layer(tmp_path / "bad.tar") as made:
        made.archive(data, lambda name: False)


def test_names_of_devices_fit(tmp_path: Path) -> None:
    assert all(len(name) < 16 for name in (network.NULL_DEVICE, *(node.device for node in NODES)))
