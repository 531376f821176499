# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Options of a Java 17 virtual machine: what it would refuse, and what would not fit its container. Pure functions."""

from __future__ import annotations

import re
import shlex
import typing as t

from ._errors import CachingError

SHARE = 0.75        # of the container's memory for the heap; metaspace, threads and buffers need the rest
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
COLLECTORS = ("UseSerialGC", "UseParallelGC", "UseG1GC", "UseZGC", "UseShenandoahGC", "UseEpsilonGC")
EXPERIMENTAL = ("UseEpsilonGC", "UseJVMCICompiler", "EnableJVMCI")
_SIZES = re.compile(r"(-Xm[nsx]|-Xss|-XX:(?:MaxHeapSize|InitialHeapSize|MaxMetaspaceSize|MetaspaceSize|MaxDirectMemorySize|ReservedCodeCacheSize"
                    r"|ThreadStackSize|NewSize|MaxNewSize)=)(.*)", re.DOTALL)
_SAME = {"-XX:MaxHeapSize": "-Xmx", "-XX:InitialHeapSize": "-Xms"}
_REMOVED = re.compile(
    r"(Use|Explicit|Print|Trace|)(ConcMarkSweep|ParNew|CMS|ParallelOld)|^CMS|^(AggressiveOpts|UseParallelOldGC|PrintGC(DateStamps|TimeStamps|Cause)"
    r"|PrintTenuringDistribution|UseGCLogFileRotation|NumberOfGCLogFiles|GCLogFileSize|PrintHeapAtGC|PrintGCApplicationStoppedTime"
    r"|MaxPermSize|PermSize|UnlockCommercialFeatures|UseAppCDS|UseCGroupMemoryLimitForHeap|UseSplitVerifier|UseMembar|BiasedLockingEnabled)$")


def size_of(text: str) -> int | None:
    """Bytes of 512m, 2G and the like; None where it is not one."""
    found = re.fullmatch(r"([0-9]+)([kmgtKMGT]?)", text)
    return int(found[1]) * UNITS[found[2].lower()] if found else None


def memory_of(text: str) -> int | None:
    """Bytes of a container's limit as Kubernetes, Compose or systemd write it: 2Gi, 512M, 512m, 1.5GB."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgtKMGT]?)(i?)([bB]?)", text.strip())
    return int(float(found[1]) * UNITS[found[2].lower()]) if found else None


def words(options: t.Any) -> list[str]:
    """The options of one text, or of a list of them."""
    try:
        parts = [shlex.split(part) for part in ([options] if isinstance(options, str) else list(options))]
    except (ValueError, TypeError, AttributeError) as error:
        raise CachingError(f"caching_jvm: it must be one text of options, or a list of them ({error})") from error
    return [word for part in parts for word in part]


def name_of(word: str) -> str:
    """What an option sets; two of the same name exclude each other."""
    found = re.match(r"-X(?:m[nsx]|ss)|-XX:[+-]?([A-Za-z0-9]+)|-D([^=]+)", word)
    if not found:
        return word
    if found[1]:
        return _SAME.get(f"-XX:{found[1]}", f"-XX:{found[1]}")
    return found.group()


def _refused(word: str, everything: t.Sequence[str]) -> str:
    """Why Java 17 would not start with this option; empty where nothing speaks against it."""
    if re.search(r"[\r\n\0]", word):
        return f"{' '.join(word.split())} has a line break"
    if not word.startswith(("-", "@")):
        return f"{word} is no option; options begin with -"
    sized = _SIZES.fullmatch(word)
    if sized and size_of(sized[2]) is None:
        return f"{word} has no size such as 512m or 2g"
    if word in ("-d64", "-d32", "-client", "-Xincgc", "-Xmaxf") or word.startswith("-Xrun"):
        return f"Java 17 does not know {word}"
    flag = re.fullmatch(r"-XX:([+-]?)([A-Za-z0-9]+)(=.*)?", word, re.DOTALL)
    if word.startswith("-XX:") and (not flag or bool(flag[1]) == bool(flag[3])) and not word.startswith(("-XX:Flags=", "-XX:VMOptionsFile=")):
        return f"{word} is neither -XX:+Name, -XX:-Name nor -XX:Name=value"
    if flag and _REMOVED.search(flag[2]):
        return f"Java 17 has no {flag[2]}"
    if flag and flag[1] == "+" and flag[2] == "UseJVMCICompiler":
        return f"{word} stops a stock Java 17 (it has no JVMCI compiler)"
    if flag and flag[1] == "+" and flag[2] in EXPERIMENTAL and "-XX:+UnlockExperimentalVMOptions" not in everything:
        return f"{word} needs -XX:+UnlockExperimentalVMOptions"
    return ""


def checked(options: t.Any, limit: int | None = None) -> list[str]:
    """The options, one by one; CachingError tells in one line what is wrong with them."""
    found = words(options)
    problems = [problem for word in found if (problem := _refused(word, found))]
    names = [name_of(word) for word in found]
    problems += [f"{name.rstrip('=')} is there more than once" for name in dict.fromkeys(names) if names.count(name) > 1]
    collectors = [name for name in COLLECTORS if f"-XX:+{name}" in found]
    if len(collectors) > 1:
        problems.append(f"{' and '.join(collectors)} exclude each other")
    sizes = {name_of(word): size_of(sized[2]) for word in found if (sized := _SIZES.fullmatch(word))}
    most, least = sizes.get("-Xmx"), sizes.get("-Xms")
    if most and least and least > most:
        problems.append("-Xms is more than -Xmx")
    if most is not None and most < 2 * 2**20:
        problems.append("-Xmx is less than 2 MiB")
    if most and limit and most > limit * SHARE:
        problems.append(f"-Xmx of {most // 2**20} MiB does not fit the container's {limit // 2**20} MiB: "
                        f"at most {int(limit * SHARE) // 2**20} MiB ({SHARE:.0%}), as metaspace, threads and buffers need the rest")
    shares = [word for word in found if word.startswith("-XX:MaxRAMPercentage=")]
    for word in shares:
        value = re.fullmatch(r"[0-9]+(\.[0-9]+)?", word.partition("=")[2])
        if not value or not 0 < float(value.group()) <= 100 * SHARE:
            problems.append(f"{word}: it goes from 0 to {100 * SHARE:.0f}")
    if problems:
        raise CachingError(f"caching_jvm: {'; '.join(problems)}")
    return found


def joined(found: list[str], quotes: bool) -> str:
    """The options as one text. Where who takes it reads ``quotes``, as systemd does, an option with a blank stands in them; elsewhere there can't be one."""
    split = [word for word in found if re.search(r"\s", word)]
    if split and not quotes:
        raise CachingError(f"caching_jvm: {'; '.join(split)}: with a blank in it, as the options are split at blanks where the service starts")
    return " ".join('"' + re.sub(r'(["\\])', r"\\\1", word) + '"' if quotes and re.search(r"[\s'\"\\]", word) else word for word in found)
