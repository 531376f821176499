# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of a virtual machine: a truth table of what is refused, and why."""

from __future__ import annotations

import shlex

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.filter.env_file_quoted import env_file_quoted
from ansible_collections.exalt.caching.plugins.filter.env_file_value import env_file_value
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
    (["'-Da=1\n2'"], "-Da=1 2 has a line break"),
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


@pytest.mark.parametrize(("options", "plain", "in_quotes"), [
    ("-Xlog:gc*:file=/tmp/gc.log -Xss1m", "-Xlog:gc*:file=/tmp/gc.log -Xss1m", "-Xlog:gc*:file=/tmp/gc.log -Xss1m"),
    (["-Xmx1g", "-Da=$HOME;x"], "-Xmx1g -Da=$HOME;x", "-Xmx1g -Da=$HOME;x"),
    ("-Dname='two words' -Xss1m", None, '"-Dname=two words" -Xss1m'),
    ("""-Da='"b"' -Dre='a\\d'""", '-Da="b" -Dre=a\\d', r'"-Da=\"b\"" "-Dre=a\\d"'),
])
def test_options_stand_in_quotes_only_where_they_have_to(options: object, plain: str | None, in_quotes: str) -> None:
    assert jvm_options(options) == in_quotes and shlex.split(in_quotes) == checked(options)
    if plain is not None:
        assert jvm_options(options, quotes=False) == plain
        return
    with pytest.raises(AnsibleFilterError, match="caching_jvm: -Dname=two words: with a blank in it, as the options are split at blanks"):
        jvm_options(options, quotes=False)


@pytest.mark.parametrize(("written", "kind", "value"), [
    ("JAVA_OPTS='-Xmx1g -Xss1m'", "dotenv", "-Xmx1g -Xss1m"), ("JAVA_OPTS='-Xmx1g -Xss1m'", "systemd", "-Xmx1g -Xss1m"),
    ("JAVA_OPTS=-Xmx1g", "dotenv", "-Xmx1g"), ('JAVA_OPTS="-Xmx1g -Xss1m"', "systemd", "-Xmx1g -Xss1m"), ("JAVA_OPTS=", "dotenv", ""),
    ("JAVA_OPTS=-Xmx1g -Xss1m  # as measured", "dotenv", "-Xmx1g -Xss1m"), ("JAVA_OPTS=-Xmx1g -Xss1m", "systemd", "-Xmx1g -Xss1m"),
    ("A=1\nJAVA_OPTS=-Xmx1g\nJAVA_OPTS=-Xmx2g\nB=2\n", "dotenv", "-Xmx2g"), ("# none\n", "systemd", ""), ("XJAVA_OPTS=a", "dotenv", ""),
    (r'JAVA_OPTS="-Da=\$b \\ \" $$c"', "dotenv", r'-Da=$b \ " $c'), (r'JAVA_OPTS="-Da=\$b \\ \" $$c \d"', "systemd", r'-Da=$b \ " $$c \d'),
    # what was written before quotes were counted: systemd puts the pieces together, Compose refuses the line
    ("""JAVA_OPTS=''"'"'-Xlog:gc*'"'"' -Xss1m'""", "systemd", "'-Xlog:gc*' -Xss1m"),
    ("""JAVA_OPTS=''"'"'-Xlog:gc*'"'"' -Xss1m'""", "dotenv", """''"'"'-Xlog:gc*'"'"' -Xss1m'"""), ("JAVA_OPTS='-Xmx1g", "systemd", "'-Xmx1g"),
])
def test_options_are_read_as_who_starts_the_service_reads_them(written: str, kind: str, value: str) -> None:
    assert env_file_value(written, "JAVA_OPTS", kind) == value


@pytest.mark.parametrize("text", ["-Xmx1g", "-Xmx1g -Xss1m", "-Xlog:gc*:file=/tmp/gc.log -Xss1m", '"-Dname=two words" -Xss1m'])
def test_a_file_of_before_stays_to_the_letter(text: str) -> None:
    assert env_file_quoted(text, "dotenv") == env_file_quoted(text, "systemd") == shlex.quote(text)


@given(some.text(some.sampled_from("ab $'\"\\`#*{}=é\t"), max_size=12).map(str.strip), some.sampled_from(["dotenv", "systemd"]))
def test_what_is_written_is_what_is_read(value: str, kind: str) -> None:
    assert env_file_value(f"A=1\nJAVA_OPTS={env_file_quoted(value, kind)}\nB=2\n", "JAVA_OPTS", kind) == value


def test_no_line_break_gets_into_such_a_file() -> None:
    with pytest.raises(AnsibleFilterError, match="line break"):
        env_file_quoted("a\nB=1", "dotenv")
