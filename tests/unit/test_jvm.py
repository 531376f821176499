# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of a virtual machine: a truth table of what is refused, and why."""

from __future__ import annotations

import pytest
from ansible_collections.exalt.caching.plugins.filter.jvm_options import jvm_options
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._jvm import SHARE, checked, memory_of, size_of
from hypothesis import given
from hypothesis import strategies as some

GIB = 2**30


@pytest.mark.parametrize("options", [
    "-Xms2g -Xmx6g -XX:+UseG1GC -XX:MaxGCPauseMillis=100", ["-Xmx512m", "-Dspring.profiles.active=prod,eu"], "", [],
    "-XX:MaxRAMPercentage=70 -XX:+ExitOnOutOfMemoryError -XX:-UseCompressedOops", "-Xmx6144M @/etc/java/options",
    "-XX:+UnlockExperimentalVMOptions -XX:+UseEpsilonGC", "-Xlog:gc*:file=/tmp/gc.log -XX:+UseZGC -Xss1m", '-Dname="two words"',
])
def test_what_java_takes(options: object) -> None:
    assert len(checked(options, 8 * GIB)) == len(jvm_options(options, "8Gi").split()) - ("two words" in str(options))


@pytest.mark.hazard("H18")
@pytest.mark.parametrize(("options", "why"), [
    ("-Xms2g -Xmx8g -XX:+UseG1GC -XX:MaxGCPauseMillis=100 -XX:+UnlockExperimentalVMOptions -XX:+UseJVMCICompiler",
     "-XX:+UseJVMCICompiler stops a stock Java 17 (it has no JVMCI compiler); "
     "-Xmx of 8192 MiB does not fit the container's 8192 MiB: at most 6144 MiB (75%), as metaspace, threads and buffers need the rest"),
    ("-Xmx8gb", "-Xmx8gb has no size such as 512m or 2g"),
    ("-Xmx", "-Xmx has no size such as 512m or 2g"),
    ("-Xmx1g -Xms2g", "-Xms is more than -Xmx"),
    ("-Xmx1g -Xmx2g", "-Xmx is there more than once"),
    ("-Xmx1g -XX:MaxHeapSize=2g", "-Xmx is there more than once"),
    ("-XX:+UseG1GC -XX:-UseG1GC", "-XX:UseG1GC is there more than once"),
    ("-Da=1 -Da=2", "-Da is there more than once"),
    ("-XX:+UseG1GC -XX:+UseZGC", "UseG1GC and UseZGC exclude each other"),
    ("-XX:+UseConcMarkSweepGC", "Java 17 has no UseConcMarkSweepGC"),
    ("-XX:MaxPermSize=256m", "Java 17 has no MaxPermSize"),
    ("-XX:+UseEpsilonGC", "-XX:+UseEpsilonGC needs -XX:+UnlockExperimentalVMOptions"),
    ("-d64", "Java 17 does not know -d64"),
    ("Xmx1g", "Xmx1g is no option; options begin with -"),
    ("-XX:UseG1GC", "-XX:UseG1GC is neither -XX:+Name, -XX:-Name nor -XX:Name=value"),
    ("-XX:+MaxGCPauseMillis=100", "-XX:+MaxGCPauseMillis=100 is neither -XX:+Name, -XX:-Name nor -XX:Name=value"),
    ("-XX:MaxRAMPercentage=95", "-XX:MaxRAMPercentage=95: it goes from 0 to 75"),
    ("-Xmx1m", "-Xmx is less than 2 MiB"),
    ('-Xmx1g "', "it must be one text of options, or a list of them (No closing quotation)"),
    (17, "it must be one text of options, or a list of them ('int' object is not iterable)"),
])
def test_what_it_refuses(options: object, why: str) -> None:
    with pytest.raises(CachingError) as refused:
        checked(options, 8 * GIB)
    assert refused.value.message == f"caching_jvm: {why}"


@pytest.mark.parametrize(("text", "size"), [
    ("2Gi", 2 * GIB), ("512M", 2**29), ("512m", 2**29), ("1.5GB", 3 * GIB // 2), ("1073741824", GIB), ("lots", None), ("", None)])
def test_a_containers_memory(text: str, size: int | None) -> None:
    assert memory_of(text) == size


@given(some.integers(2, 2**16), some.sampled_from("kKmMgG"), some.integers(2**24, 2**44))
def test_a_heap_is_taken_exactly_where_it_leaves_room(number: int, unit: str, limit: int) -> None:
    size = size_of(f"{number}{unit}")
    assert size is not None
    fits = 2**21 <= size <= limit * SHARE
    try:
        assert checked(f"-Xmx{number}{unit}", limit) == [f"-Xmx{number}{unit}"] and fits
    except CachingError:
        assert not fits


@given(some.lists(some.text(some.characters(codec="utf-8"), max_size=20), max_size=5))
def test_whatever_it_is_there_is_an_answer(options: list[str]) -> None:
    try:
        checked(options, GIB)
    except CachingError as error:
        assert error.message.startswith("caching_jvm: ")
