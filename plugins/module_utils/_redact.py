# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Secrets out of data that is shown (H04, H58): by the name that they stand under, and where they hide in a text. Pure functions."""

from __future__ import annotations

import json
import re
import typing as t

HIDDEN = "(redacted)"
_DEEPEST = 60
# A name is told by its words: api-key, apiKey, API_KEY and spring.data.redis.password all say it.
_SECRET = re.compile(
    r"pass(word|wd|phrase|code)|pwd|secret|token|credential|authorization|requirepass|masterauth|bearer|cookie|salt\b|signature"
    r"|(^|[^a-z])(key|keys|auth|pw|pass|pin)$", re.IGNORECASE
)
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LABELS = ("name", "key", "property", "propertyName", "id", "header")
_CONTENTS = ("value", "values", "content", "defaultValue")
_URL = re.compile(r"(?P<begin>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s/@:?#]*):(?P<secret>[^\s/]*)@")
_QUERY = re.compile(r"(?P<begin>[?&;\"']|\s|^|,|\{|-D)"
                    r"(?P<name>[\w.-]*(?:pass(?:word|wd|phrase)?|pwd|secret|token|credential|(?:api|access|private)[_.-]?key)[\w.-]*)"
                    r"(?P<sign>\s*[=:]\s*)(?!\(redacted\))(?P<secret>\"[^\"]*\"|'[^']*'|[^\s&;,}]+)", re.IGNORECASE)
# -Dname=value of a virtual machine, to its end: the next blank, or the quote that it stands in
_PROPERTY = re.compile(r"(?P<quote>[\"'])-D(?P<quoted>[^\s=\"']+)=(?:(?!(?P=quote))[^\\]|\\.)*(?P=quote)"
                       r"|(?P<begin>^|[\s\"'])-D(?P<name>[^\s=\"']+)=(?:\"[^\"]*\"|'[^']*'|[^\s\"']*)", re.DOTALL)
_ORACLE = re.compile(r"(?P<begin>\bjdbc:oracle:\w+:[^\s/@:]*/)[^\s@]+@", re.IGNORECASE)
_OPTION = re.compile(r"(?P<begin>--[\w-]*(?:pass|pwd|secret|token|key)[\w-]*\s+|(?:^|\n)\s*(?:requirepass|masterauth)\s+)\S+", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL)


def is_secret(name: str) -> bool:
    """Whether what stands under this name must not be shown."""
    return bool(_SECRET.search(_WORDS.sub("-", name)))


def redacted(data: t.Any, depth: int = 0) -> t.Any:
    """``data`` without its secrets, with its shape."""
    if depth > _DEEPEST:
        return HIDDEN
    if isinstance(data, str):
        return text(data)
    if isinstance(data, list):
        return [redacted(entry, depth + 1) for entry in data]
    if not isinstance(data, dict):
        return data
    labelled = any(isinstance(data.get(label), str) and is_secret(data[label]) for label in _LABELS)
    has_content = any(name in data for name in _CONTENTS)
    result = {}
    for name, value in data.items():
        is_label = name in _LABELS and has_content and isinstance(value, str)
        hide = is_secret(str(name)) and not is_label or labelled and name in _CONTENTS
        result[name] = _blank(value, depth) if hide else redacted(value, depth + 1)
    return result


def _blank(value: t.Any, depth: int) -> t.Any:
    """Everything below a secret name; flags, and nothing at all, tell no secret."""
    if depth > _DEEPEST:
        return HIDDEN
    if isinstance(value, dict):
        return {name: _blank(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_blank(inner, depth + 1) for inner in value]
    return value if value is None or isinstance(value, bool) or value == "" else HIDDEN


def _property(found: re.Match[str]) -> str:
    name = found["quoted"] or found["name"]
    if not is_secret(name):
        return found[0]
    quote = found["quote"] or ""
    return f"{quote or found['begin'] or ''}-D{name}={HIDDEN}{quote}"


def text(value: str) -> str:
    """A text without the passwords in its URLs and options; a text that is JSON, by its names."""
    if value.lstrip()[:1] in ("{", "["):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, (dict, list)):
            return json.dumps(redacted(found), ensure_ascii=False)
    value = _PEM.sub(HIDDEN, value)
    value = _URL.sub(rf"\g<begin>\g<user>:{HIDDEN}@", value)
    value = _ORACLE.sub(rf"\g<begin>{HIDDEN}@", value)
    value = _PROPERTY.sub(_property, value)
    value = _OPTION.sub(rf"\g<begin>{HIDDEN}", value)
    value = _BEARER.sub(rf"\1 {HIDDEN}", value)
    return _QUERY.sub(rf"\g<begin>\g<name>\g<sign>{HIDDEN}", value)
