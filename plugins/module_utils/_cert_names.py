# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Names in certificates: DNS names, addresses and URIs, and which covers which. Pure functions on data."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ._errors import CachingError, one_line

_PREFIX = re.compile(r"(DNS|IP|URI):(.*)", re.IGNORECASE | re.DOTALL)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[\x21-\x7e]+", re.IGNORECASE)
Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class Name(t.NamedTuple):
    """``kind`` is DNS, IP or URI. As text it is plain, but for a URI."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"URI:{self.text}" if self.kind == "URI" else self.text


def parse(text: str, option: str) -> Name:
    """``caching-service``, ``*.redis.svc``, ``10.0.0.7``, ``[::1]`` or ``URI:spiffe://fleet/service``."""
    found = _PREFIX.fullmatch(text.strip())
    kind, value = (found[1].upper(), found[2].strip()) if found else ("", text.strip())
    if kind in ("", "IP"):
        try:
            return Name("IP", str(ipaddress.ip_address(value.removeprefix("[").removesuffix("]"))))
        except ValueError:
            if kind:
                raise CachingError(f"{option}: {one_line(repr(value), 80)} is no IP address") from None
    if kind == "URI":
        if not _URI.fullmatch(value):
            raise CachingError(f"{option}: {one_line(repr(value), 80)} is no URI")
        return Name("URI", value)
    name = value.lower().removesuffix(".")
    labels = name.split(".")
    if not kind and len(labels) > 1 and all(label.isdigit() for label in labels):
        raise CachingError(f"{option}: {one_line(repr(value), 80)} is no IP address")
    plain = labels[1:] if labels[0] == "*" else labels
    if len(name) > 253 or not plain or not all(_LABEL.fullmatch(label) for label in plain):
        hint = "" if value.isascii() else "; write it as it goes over the wire (xn--…)"
        raise CachingError(f"{option}: {one_line(repr(value), 80)} is neither a DNS name nor an IP address{hint}")
    return Name("DNS", name)


def parse_all(texts: t.Iterable[str], option: str) -> list[Name]:
    """Each name once, in the order given."""
    return list(dict.fromkeys(parse(text, option) for text in texts))


def covers(have: Name, wanted: Name) -> bool:
    """Whether a certificate with the name ``have`` is good for ``wanted``. A wildcard stands for one whole label."""
    if have == wanted:
        return True
    return have.kind == wanted.kind == "DNS" and have.text.startswith("*.") and not wanted.text.startswith("*.") \
        and wanted.text.partition(".")[2] == have.text[2:]


def uncovered(have: t.Iterable[Name], wanted: t.Iterable[Name]) -> list[str]:
    """The wanted names that a certificate with these names is not good for."""
    present = list(have)
    return [str(name) for name in wanted if not any(covers(one, name) for one in present)]


def constraint(text: str, option: str) -> tuple[str, Network | str]:
    """A part of the name space that an authority may sign for: ``("IP", network)`` or ``("DNS", domain)``."""
    value = text.strip()
    try:
        return "IP", ipaddress.ip_network(value)
    except ValueError:
        domain = parse(value.removeprefix("."), option)
    if domain.kind != "DNS" or domain.text.startswith("*"):
        raise CachingError(f"{option}: {one_line(repr(value), 80)} is neither a domain nor a network such as 10.0.0.0/8")
    return "DNS", domain.text


def outside(names: t.Iterable[Name], constraints: t.Sequence[tuple[str, Network | str]]) -> list[str]:
    """The names that an authority with these constraints may not sign. A kind that is not constrained is free."""
    domains = [str(part) for kind, part in constraints if kind == "DNS"]
    networks = [part for kind, part in constraints if kind == "IP" and not isinstance(part, str)]
    found = []
    for name in names:
        if name.kind == "DNS" and domains:
            bare = name.text.removeprefix("*.")
            good = any(bare == domain or bare.endswith("." + domain) for domain in domains)
        elif name.kind == "IP" and networks:
            address = ipaddress.ip_address(name.text)
            good = any(address in network for network in networks)
        else:
            good = True
        if not good:
            found.append(str(name))
    return found
