# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A value of a file of environment variables, as Docker Compose reads its .env (``dotenv``) and systemd its EnvironmentFile. Pure functions."""

from __future__ import annotations

import re
import shlex

from ._errors import CachingError

FORMATS = ("dotenv", "systemd")
_ESCAPED = {"dotenv": r'([\\"$])', "systemd": r'([\\"$`])'}      # by a backslash, in double quotes


def quoted(value: str, kind: str) -> str:
    """``value`` as it stands after the sign of equality; in single quotes where nothing has to be escaped, in double quotes else."""
    if re.search(r"[\r\n\0]", value):
        raise CachingError("a value of an environment variable can't have a line break here")
    if not value or not re.search(r"['\\]", value):
        return shlex.quote(value) if value else ""
    return '"' + re.sub(_ESCAPED[kind], r"\\\1", value) + '"'


def value_of(text: str, name: str, kind: str) -> str:
    """The value of the last line that sets ``name``; empty where none does. What its reader would refuse is given as it stands there."""
    found = re.findall(rf"(?m)^{re.escape(name)}=(.*)$", text)
    written = found[-1].strip() if found else ""
    return _systemd(written) if kind == "systemd" else _dotenv(written)


def _dotenv(written: str) -> str:
    """As compose-go reads it: in single quotes nothing but an escaped quote has a meaning, and $$ is one $ elsewhere."""
    quote = written[:1]
    if quote not in ("'", '"'):
        return re.split(" #", written, maxsplit=1)[0].rstrip().replace("$$", "$")
    match = re.fullmatch(rf"{quote}((?:[^{quote}\\]|\\.)*){quote}\s*(?:#.*)?", written)
    if not match:
        return written
    if quote == "'":
        return match[1].replace("\\'", "'")
    return re.sub(r'\\([\\"$])|\$\$', lambda found: found[1] or "$", match[1])


def _systemd(written: str) -> str:
    """As systemd reads it: pieces in quotes may stand beside each other, and a quote within a plain piece is a letter like any other."""
    result, rest = "", written
    while rest:
        piece = re.match(r"""'(?P<single>[^']*)'\s*|"(?P<double>(?:[^"\\]|\\.)*)"\s*|(?P<plain>[^'"].*)$""", rest)
        if not piece:
            return written
        if piece["single"] is not None:
            result += piece["single"]
        elif piece["double"] is not None:
            result += re.sub(rf"\\{_ESCAPED['systemd']}", r"\1", piece["double"])
        else:
            result += re.sub(r"\\(.)", r"\1", piece["plain"])
        rest = rest[piece.end():]
    return result
