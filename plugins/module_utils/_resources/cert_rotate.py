# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Rotation of one certificate (S138 to S141, S145, S146): looked at, judged, and only where something differs replaced.

Everything that serves is checked before it is installed, and read back after. Two runs at once are told apart at the place itself: the
second looks again, and finds nothing left to do.
"""

from __future__ import annotations

import math
import time
import typing as t

from .. import _cert_checks, _cert_make, _cert_policy
from .. import _cert_model as model
from .._cert_names import parse_all, uncovered
from .._cert_policy import Wish, fitting
from .._errors import CachingError
from . import cert_held as held_
from .cert_authority import Authority
from .cert_files import Files
from .cert_held import Held, Set, held, shown
from .cert_place import KEY, KEYSTORE, REQUEST, Contents, Moved, Place, Version

Results = dict[str, t.Any]
_ATTEMPTS = 5


class Decision(t.NamedTuple):
    """What is to be done, and why. ``keep``: the set that is installed; None where one is issued. ``after``: the diff's other side.
    ``files``: those of the version before, where it comes back as it was, with its keystores."""

    action: t.Literal["nothing", "issue", "set", "request", "back", "tidy", "mark"]
    reasons: list[str]
    after: Results
    keep: Set | None = None
    results: Results = {}
    files: dict[str, bytes] | None = None


class Job:
    """One destination and what is declared for it."""

    def __init__(self, params: t.Mapping[str, t.Any], warn: t.Callable[[str], None]) -> None:
        self.params, self._warn, self._warned = params, warn, set[str]()
        self.now = time.time()
        self.name: str = params["name"]
        self.state: str = params["state"]
        self.provider: str = params["provider"]
        self.password: str | None = params["keystore_password"]
        if self.password is not None and len(self.password) < 6:
            raise CachingError("keystore_password: the JVM wants 6 characters or more")
        if params["keystore_path"] and not self.password:
            raise CachingError("keystore_path: it needs keystore_password")
        self.wish = self._wish()
        limit = self.wish.lifetime if self.provider != "provided" else None
        self.limit = _cert_policy.threshold(params["renew_before"], limit)
        given = params["trusted_certificates"]
        self.extra = None if given is None else held_.trusted(given, "trusted_certificates", self.now, self.warn)
        self.place = self._place()
        own = self.provider == "ownca" and self.state == "present"
        self.authority = Authority(params, self.now) if own else None
        self.contents, self.have = Contents(), Held()
        self.decision = Decision("nothing", [], {})

    def warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._warn(text)

    def _wish(self) -> Wish:
        names = parse_all(self.params["subject_alt_names"], "subject_alt_names")
        needed = self.state in ("present", "requested") and not (self.state == "present" and self.provider == "provided")
        if needed and not names:
            raise CachingError("subject_alt_names: name everything that clients connect to; without names no client accepts a certificate (H51)")
        usages = frozenset(self.params["usages"])
        if not usages:
            raise CachingError("usages: server, client, or both")
        return Wish(fitting("common_name", self.params["common_name"] or self.name), tuple(names), self.params["key_type"], usages,
                    _cert_policy.lifetime(self.params["validity"], "validity"), fitting("organization", self.params["organization"] or ""))

    def _place(self) -> Place:
        if self.params["destination"] == "files":
            return Files(self.params)
        unfit = [option for option in ("keystore_path", "owner", "group") if self.params[option]]
        if unfit:
            raise CachingError(f"{', '.join(unfit)}: only for destination files")
        from .cert_secret import Secrets  # slow to import

        return Secrets(self.params)

    # ---- looking

    def plan(self) -> tuple[bool, Results]:
        self.contents = self.place.read()
        self.have = held(self.contents.current)
        decide = {"present": self._provided if self.provider == "provided" else self._issued, "requested": self._requested,
                  "rolled_back": self._rolled_back, "activated": self._activated}
        found = decide[self.state]()
        left = [*self.contents.drift, *(f"{name} is not needed any more" for name in self.contents.untidy)]
        if left and found.action == "nothing" and self.state != "activated":
            found = found._replace(action="tidy", reasons=[*found.reasons, *left])
        changed = found.action != "nothing"
        before = self._before()
        if found.action == "tidy":
            found = found._replace(after={**before, "left": []})
            before = {**before, "left": left}
        self.decision = found
        reason = "; ".join(found.reasons) or "it is as declared"
        version = self.contents.current
        other = found.keep is not None and (self.have.whole is None or self.have.whole.chain[0] != found.keep.chain[0])
        renewed = found.action == "issue" or found.action in ("set", "back") and other
        older = held(self.contents.previous[0]) if self.contents.previous else Held()
        results = {"diff": {"before": before, "after": found.after if changed else before}, "reason": reason, "renewed": renewed, "csr": None,
                   "certificate": self.have.told, "previous": older.told, "previous_trusted": held_.rows(older.roots),
                   "version": version.number if version else 0, "trusted": held_.rows(self.have.roots), "authority": None,
                   "activated": version is not None and version.number == self.contents.activated, **self.place.where(version), **found.results}
        if self.state in ("present", "requested"):
            results["judged"] = self._judged(found, left)
        if self.authority:
            results["authority"] = self.authority.result(False)
        return changed, results

    def _judged(self, found: Decision, left: t.Sequence[str]) -> Results:
        roots = [*(self.extra or []), *(one for one in self._given("chain")[0] if model.self_signed(one))]
        return {**held_.judged(self.have, found.keep, left, self.password, roots, self.wish.usages, self.now),
                "expired_roots": held_.over(self.params["trusted_certificates"] or [], self.now)}

    def _before(self) -> Results:
        return shown(self.have.facts, self.have.roots, bool(self.contents.current and KEYSTORE in self.contents.current.files), {})

    def _issued(self) -> Decision:
        """A certificate that this run would make itself."""
        have, facts, trouble = self.have, self.have.facts, self.have.trouble
        missing, issuer, chain, roots, end = "", "", list[t.Any](), list[t.Any](), math.inf
        if self.authority:
            missing = self.authority.look()
            own = self.authority.facts
            issuer, chain, roots, end = own.subject if own else "a new authority", self.authority.chain, self.authority.roots, self.authority.end
            if facts and have.whole and (own is None or not model.signed_by(have.whole.chain[0], self.authority.found[0])):
                trouble = trouble or f"its issuer is {facts.issuer}, declared is {issuer}"
            if own and own.not_after - self.now < 2 * self.wish.lifetime:
                self.warn(f"the authority {own.subject} ends on {model.moment(own.not_after)}: make a new one at another path in time, and trust both first")
            if own and not roots and not self.extra:
                raise CachingError("ca_certificate_path: it has an intermediate authority without its root; put the root into trusted_certificates, "
                                   "or behind it in the file")
        elif facts and have.whole and not model.self_signed(have.whole.chain[0]):
            trouble = trouble or f"its issuer is {facts.issuer}, declared is itself"
        reasons = _cert_policy.reasons(facts, self.wish, self.limit, self.now, trouble, self.params["force"], end)
        if self.provider == "selfsigned":
            self.warn("provider selfsigned is for trials: nobody but those who are given ca.crt can trust it")
        if reasons or have.whole is None:
            for text in self.authority.check(self.wish.names) if self.authority else []:
                self.warn(text)
            after = self._declared(issuer or f"CN={self.wish.common_name} (itself)", self._wanted_roots(roots))
            return Decision("issue", [*([missing] if missing else []), *reasons], after)
        kept = have.whole
        return self._as_set(Set([kept.chain[0], *chain], kept.key, self._wanted_roots(roots or [kept.chain[0]] * (self.authority is None))), [])

    def _provided(self) -> Decision:
        """A certificate that somebody else made, or the one that is there."""
        given, where = self._given("certificate")
        have = self.have
        if not given:
            if have.whole is None:
                raise CachingError(f"certificate_content: none is given, and none is there that could stay ({have.trouble or 'nothing was installed yet'})")
            given, where = have.whole.chain, "the certificate that is there"
        above, _where = self._given("chain")
        known = self.extra if self.extra is not None else have.roots
        others = [*given[1:], *above, *(have.whole.chain[1:] if have.whole else [])]
        candidates = held_.unique([*(one for one in [*given[1:], *above] if model.self_signed(one)), *known, *have.roots])
        key = self._key_of(given[0], where)
        verdict = _cert_checks.verdict(given[0], key, others, candidates, self.wish.names, self.wish.usages, self.now)
        if verdict.problems:
            raise CachingError(f"{where}: {'; '.join(verdict.problems)}. Nothing was installed")
        over = _cert_policy.due(model.facts(given[0]), self.limit, self.now)
        if over:
            self.warn(f"{where}: {over}; have it renewed")
        path = verdict.path
        wanted = Set(path[:-1] or path, key, self._wanted_roots([path[-1]]))
        wanted.refuse(where, self.wish.names, self.wish.usages, self.now)
        reasons = []
        if have.whole is None or have.facts is None:
            reasons = [have.trouble or "there is no certificate yet"]
        elif have.whole.chain[0] != given[0]:
            reasons = ["another certificate is given"]
        elif self.params["force"]:
            reasons = ["force was given"]
        return self._as_set(wanted, reasons)

    def _as_set(self, wanted: Set, reasons: list[str]) -> Decision:
        """The same certificate, perhaps with another chain, other roots or keystores around it."""
        have = self.have
        found = list(reasons)
        if not reasons and have.whole and have.whole.chain != wanted.chain:
            found.append("its chain is another")
        if have.whole is not None and (why := held_.roots_differ(have.roots, wanted.roots)):
            found.append(why)
        if not found and (why := held_.stores_differ(self.contents.current, wanted, self.password)):
            found.append(why)
        after = shown(wanted.facts, wanted.roots, bool(self.password), {})
        if found:
            wanted.refuse("trusted_certificates" if not reasons else "certificate_content", self.wish.names, self.wish.usages, self.now)
        return Decision("set" if found else "nothing", found, after, wanted)

    def _requested(self) -> Decision:
        """A key and a request, made where the key is used; nothing that serves changes."""
        above, _where = self._given("chain")
        have, trouble = self.have, self.have.trouble
        if above and have.whole and not any(model.signed_by(have.whole.chain[0], one) for one in above):
            trouble = trouble or f"its issuer is {have.whole.facts.issuer}, which is not in chain_content"
        end = min((model.facts(one).not_after for one in above), default=math.inf)
        wish = _cert_policy.by_others(self.wish, have.facts, bool(self.params["common_name"]), bool(self.params["organization"]))
        reasons = _cert_policy.reasons(have.facts, wish, self.limit, self.now, trouble, self.params["force"], end)
        if not reasons:
            return Decision("nothing", [], {})
        if csr := self._waiting():
            return Decision("nothing", ["it is requested already", *reasons], {}, results={"csr": csr})
        return Decision("request", reasons, {**self._before(), "requested": [str(name) for name in self.wish.names]})

    def _waiting(self) -> str:
        """The request that waits, where it is for what is declared."""
        asked = self.contents.asked
        try:
            key, request = model.private_key(asked.get(KEY, b""), KEY), model.signing_request(asked.get(REQUEST, b""), REQUEST)
        except CachingError:
            return ""
        made = _cert_make.request(self.wish, key)
        same = model.signing_request(made, REQUEST)
        fits = request.subject == same.subject and model.request_names(request) == model.request_names(same) \
            and model.same_key(request.public_key(), key.public_key()) and model.key_type(key.public_key()) == self.wish.key_type
        return asked[REQUEST].decode() if fits else ""

    def _rolled_back(self) -> Decision:
        current, previous = self.contents.current, self.contents.previous
        if current is None:
            raise CachingError("state: there is no certificate from which one could go back")
        if current.back_from:
            return Decision("nothing", [f"version {current.back_from} was rolled back already"], {})
        if not previous:
            raise CachingError("state: no earlier version is kept, so there is no way back (keep_previous)")
        older, target, own = held_.way_back(current, previous, self.password)
        what, facts = f"version {older.number}", target.facts
        target.refuse(what, (), self.wish.usages if facts.usages is None else facts.usages, self.now)
        if missing := uncovered(facts.names, self.wish.names):
            self.warn(f"{what} is not valid for {', '.join(missing)}")
        after = shown(facts, target.roots, bool(self.password) or KEYSTORE in older.files, {})
        return Decision("back", [f"version {current.number} is rolled back to {what}"], after, target, files=own)

    def _activated(self) -> Decision:
        current = self.contents.current
        if current is None:
            raise CachingError("state: there is no certificate that programs could have read")
        if current.number == self.contents.activated:
            return Decision("nothing", [], {})
        return Decision("mark", [f"version {current.number} was read by the programs that use it"], {**self._before(), "activated": current.number})

    # ---- what is given

    def _given(self, kind: str) -> tuple[list[t.Any], str]:
        """Certificates of ``certificate_content`` or ``certificate_path`` (so too for the chain), and where they come from."""
        content, path = self.params[f"{kind}_content"], self.params[f"{kind}_path"]
        if content:
            return model.certificates(content, f"{kind}_content"), f"{kind}_content"
        if path:
            return model.certificates(held_.file(path, f"{kind}_path"), f"{kind}_path: {path}"), f"{kind}_path: {path}"
        return [], ""

    def _key_of(self, leaf: t.Any, where: str) -> model.Key:
        """The key that is given, else the one here that belongs to the certificate: what serves now, or what was requested."""
        content, path = self.params["key_content"], self.params["key_path"]
        if content or path:
            what = "key_content" if content else f"key_path: {path}"
            return model.private_key(content or held_.file(path, "key_path"), what)
        asked = self.contents.asked.get(KEY)
        here = [self.have.whole.key] if self.have.whole else []
        for key in [*here, *([model.private_key(asked, "the requested key")] if asked else [])]:
            if model.same_key(key.public_key(), leaf.public_key()):
                return key
        raise CachingError(f"{where}: no key for it is here; give key_content, or have the request of state=requested signed. Nothing was installed")

    def _wanted_roots(self, own: t.Sequence[t.Any]) -> list[t.Any]:
        """The root of the certificate first, then what else is trusted. What is not said to go stays: trust is never narrowed by itself (H54)."""
        others = self.extra if self.extra is not None else [one for one in self.have.roots if model.facts(one).not_after > self.now]
        if self.extra is None and self.provider == "selfsigned":
            others = []   # of trials, the roots would only pile up
        return held_.unique([*own, *others])

    def _declared(self, issuer: str, roots: t.Sequence[t.Any]) -> Results:
        """The diff's other side for a certificate that is not made yet: the same in check mode as in a real run."""
        wish = self.wish
        return {"names": [str(name) for name in wish.names], "common_name": wish.common_name, "key_type": wish.key_type,
                "usages": sorted(wish.usages), "issuer": issuer, "valid": f"{_cert_policy.span(wish.lifetime)} from now on",
                "trusted": sorted({*(model.facts(root).subject for root in roots), *([issuer] if not roots else [])}), "keystores": bool(self.password)}

    # ---- doing

    def act(self) -> Results:
        for _attempt in range(_ATTEMPTS):
            with self.place.alone():
                changed, results = self.plan()
                if not changed:
                    return {**results, "changed": False}   # another run was quicker
                try:
                    return {**results, **self._do()}
                except Moved:
                    continue
        raise CachingError(f"destination: {self.name} was changed by others {_ATTEMPTS} times while it was looked at; run again")

    def _do(self) -> Results:
        decision = self.decision
        if decision.action == "tidy":
            self.place.tidy()
            return {}
        if decision.action == "mark" and self.contents.current:
            self.place.mark(self.contents.current.number)
            return {"activated": True}
        if decision.action == "request":
            key = _cert_make.new_key(self.wish.key_type)
            csr = _cert_make.request(self.wish, key)
            self.place.ask({KEY: model.key_pem(key), REQUEST: csr})
            return {"csr": csr.decode()}
        made = self.authority.make() if self.authority and not self.authority.found else False
        wanted = decision.keep or self._issue()
        current = self.contents.current
        number = max([0, *(one.number for one in self.contents.previous), current.number if current else 0]) + 1
        back = current.number if current and decision.action == "back" else 0
        version = Version(number, decision.files or wanted.files(self.name, self.password), back)
        self.place.install(version)
        seen = self.place.read().current
        if seen is None or (seen.number, seen.files) != (version.number, version.files):
            raise CachingError(f"destination: version {number} was written, but something else is there now; run again")
        return {"certificate": model.told(wanted.facts), "previous": self.have.told, "version": number, "activated": False,
                "trusted": held_.rows(wanted.roots), "authority": self.authority.result(made) if self.authority else None, **self.place.where(version)}

    def _issue(self) -> Set:
        key = _cert_make.new_key(self.wish.key_type)
        if self.authority:
            chain = [self.authority.issue(self.wish, key.public_key()), *self.authority.chain]
            roots = self.authority.roots
        else:
            chain = [_cert_make.selfsigned(self.wish, key, self.now)]
            roots = chain
        wanted = Set(chain, key, self._wanted_roots(roots))
        wanted.refuse("the new certificate", self.wish.names, self.wish.usages, self.now)
        return wanted
