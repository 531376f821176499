# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Settings of Redis nodes: what a value means, which are secrets, which can't be changed while a node runs. Pure functions."""

from __future__ import annotations

import hashlib
import re
import typing as t

from ._errors import CachingError, one_line

# Read again by CONFIG SET with the same path (Redis 7.0.2 and newer).
FILES = ("tls-cert-file", "tls-key-file", "tls-client-cert-file", "tls-client-key-file", "tls-ca-cert-file", "tls-ca-cert-dir", "tls-dh-params-file")
# Each pair goes out in one command: a certificate with the key of another is refused.
PAIRS = (("tls-cert-file", "tls-key-file"), ("tls-client-cert-file", "tls-client-key-file"))
# Those that Redis 7.0 and Valkey 9.1 both refuse to change, so that check mode can say so, too.
FIXED = frozenset((
    "aclfile", "always-show-logo", "aof_rewrite_cpulist", "appenddirname", "appendfilename", "bgsave_cpulist", "bio_cpulist", "cluster-config-file",
    "cluster-enabled", "cluster-port", "daemonize", "databases", "disable-thp", "enable-debug-command", "enable-module-command",
    "enable-protected-configs", "logfile", "pidfile", "rdbchecksum", "replicaof", "server_cpulist", "set-proc-title", "slaveof", "socket-mark-id",
    "supervised", "syslog-enabled", "syslog-facility", "syslog-ident", "tcp-backlog", "unixsocket", "unixsocketperm",
))
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SECRET = re.compile("pass|auth$|secret|token")
_MEMORY = re.compile(r"([0-9]+)(b|kb?|mb?|gb?)", re.IGNORECASE)
_UNITS = {"b": 1, "k": 1000, "kb": 1 << 10, "m": 10**6, "mb": 1 << 20, "g": 10**9, "gb": 1 << 30}
_LISTS = ("bind", "save", "client-output-buffer-limit", "oom-score-adj-values", "tls-protocols")  # words; how many spaces are between does not count
_ENUMERATIONS = ("acl-pubsub-default", "appendfsync", "cluster-preferred-endpoint-type", "loglevel", "maxmemory-policy", "oom-score-adj",
                 "propagation-error-behavior", "repl-diskless-load", "sanitize-dump-payload", "tls-auth-clients")
_CLASSES = {"slave": "replica"}
_ALL_EVENTS = "g$lshztdxe"
_REFUSED = re.compile(r"CONFIG SET failed \(possibly related to argument '([^']+)'\) - (.*)")


def named(given: t.Mapping[t.Any, t.Any], option: str) -> dict[str, str]:
    """Settings as texts by their names, as they are sent."""
    found: dict[str, str] = {}
    for name, value in given.items():
        text = str(name).lower()
        if not _NAME.fullmatch(text):
            raise CachingError(f"{option}: {one_line(repr(name), 60)} is no name of a setting")
        if text in found:
            raise CachingError(f"{option}: {text} is there twice")
        if value is None or isinstance(value, dict):
            raise CachingError(f"{option}: {text} needs a text, a number, yes or no, or a list")
        found[text] = sent(text, value)
    return found


def sent(name: str, value: t.Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(str(part) for part in value) if isinstance(value, (list, tuple)) else str(value)
    return " ".join(text.split()) if name in _LISTS else text


def is_secret(name: str) -> bool:
    return bool(_SECRET.search(name))


def canonical(name: str, value: str) -> str:
    """A value in the form in which it is compared and shown: of a secret, a digest and its size."""
    if is_secret(name):
        digest = hashlib.sha256(value.encode()).hexdigest()[:16]
        return f"(secret of {len(value)} characters, SHA-256 {digest}…)" if value else ""
    words = value.split()
    if name == "save":
        return "  ".join(" ".join(pair) for pair in sorted(zip(words[::2], words[1::2]), key=_seconds)) if len(words) % 2 == 0 else value
    if name == "client-output-buffer-limit":
        return "  ".join(f"{kind} {' '.join(limits)}" for kind, limits in sorted(classes(value).items())) or value
    if name == "notify-keyspace-events":
        return "".join(sorted(set(value.replace("A", _ALL_EVENTS))))
    if name in _ENUMERATIONS or value.lower() in ("yes", "no"):
        return value.lower()
    return " ".join(words) if name in _LISTS else _memory(value)


def _seconds(pair: tuple[str, str]) -> tuple[int, str]:
    return (int(pair[0]), pair[1]) if pair[0].isdigit() else (0, pair[0])


def _memory(value: str) -> str:
    found = _MEMORY.fullmatch(value)
    return str(int(found[1]) * _UNITS[found[2].lower()]) if found else value


def classes(value: str) -> dict[str, tuple[str, ...]]:
    """The limits of each class of clients, in bytes and seconds; nothing where the text is something else."""
    words = value.split()
    if not words or len(words) % 4:
        return {}
    rows = [words[start : start + 4] for start in range(0, len(words), 4)]
    return {_CLASSES.get(row[0].lower(), row[0].lower()): tuple(_memory(word) for word in row[1:]) for row in rows}


def alike(name: str, have: str, want: str) -> str:
    """What a node has, as far as ``want`` speaks of it: classes of clients that are not declared keep their limits."""
    if name == "client-output-buffer-limit" and (declared := classes(want)):
        have = " ".join(f"{kind} {' '.join(limits)}" for kind, limits in classes(have).items() if kind in declared)
    return canonical(name, have)


def refusal(text: str) -> str:
    """Which setting a node refused, and why."""
    found = _REFUSED.search(text)
    return f"{found[1]}: {found[2]}" if found else text


def together(words: t.Mapping[str, str], now: t.Mapping[str, str]) -> dict[str, str]:
    """With a certificate its key, and with a key its certificate."""
    more = dict(words)
    for pair in PAIRS:
        if any(name in words for name in pair):
            more.update({name: now[name] for name in pair if name not in words and now.get(name)})
    return more
