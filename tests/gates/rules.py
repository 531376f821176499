# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of this repository. Each is a function from the root of a tree to the list of its violations."""

from __future__ import annotations

import ast
import re
import subprocess
import typing as t
from pathlib import Path

import yaml

Findings = list[str]
Rule = t.Callable[[Path], Findings]

# module_utils imports only downwards: from its own line here, or from one below. A file that is not named is pure: it
# imports pure files and the lowest line only.
LAYERS = (
    ("_run", "_arguments"),
    ("_resources",),
    ("_reconcile",),
    ("_replay",),
    ("_replay_nodes",),
    ("_service", "_redis", "_store", "_store_directory", "_store_s3", "_store_s3_write", "_x509", "_wait"),
    ("_http",),
    ("pure",),
    ("_errors", "_duration"),
)
COLLECTION_UTILS = "ansible_collections.exalt.caching.plugins.module_utils"
READS_CHECK_MODE = ("_reconcile.py", "_run.py")
GROUPS = ("service", "redis", "store")
DICT_METHODS = {name for name in dir(dict) if not name.startswith("_")}
DOCS = ("DOCUMENTATION", "EXAMPLES", "RETURN")

# Put together from pieces, so that this file does not violate its own rule.
MACHINE_PATH = re.compile(r"(?<![\w.:/$}-])/(?:" + "work|root|Users" + r"|home/(?!runner\b)\w+)/[\w.]")
SECRETS = {
    "a private key": re.compile("-----BEGIN [A-Z ]*PRIVATE" + " KEY-----"),
    "an AWS access key": re.compile(r"\bAKIA" + r"[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_" + r"\w{30,}"),
    "a Slack webhook": re.compile(r"hooks\.slack\.com/services/" + r"T\w+/B\w+/\w{8,}"),
    "a signed web token": re.compile(r"\beyJ" + r"[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "an age identity": re.compile(r"AGE-SECRET" + r"-KEY-1\w{20,}"),
}


# ---- what the rules read


def files(root: Path, *suffixes: str) -> list[Path]:
    """Files of the tree: what git would commit, or in a tree without git all of them."""
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
        found = [root / name for name in names if name]
    else:
        found = list(root.rglob("*"))
    return sorted(path for path in found if path.is_file() and (not suffixes or path.suffix in suffixes))


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def short(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def modules(root: Path) -> list[Path]:
    return sorted(path for path in (root / "plugins" / "modules").glob("*.py") if path.name != "__init__.py")


def module_utils(root: Path) -> list[Path]:
    return sorted((root / "plugins" / "module_utils").rglob("*.py"))


def roles(root: Path) -> list[Path]:
    return sorted(path for path in (root / "roles").glob("*") if path.is_dir())


def load(path: Path) -> t.Any:
    return yaml.safe_load(text(path)) if path.exists() else None


def assigned(tree: ast.Module) -> dict[str, ast.expr]:
    """What stands on the right of the assignments at the top of a file."""
    result: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            result[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            result[node.target.id] = node.value
    return result


def docs(path: Path) -> dict[str, t.Any]:
    """DOCUMENTATION, EXAMPLES and RETURN of a module, parsed."""
    values = assigned(ast.parse(text(path)))
    found = {name: values.get(name) for name in DOCS}
    return {name: yaml.safe_load(str(node.value)) for name, node in found.items() if isinstance(node, ast.Constant)}


def fragments(root: Path) -> dict[str, dict[str, t.Any]]:
    """Documentation fragments by the name under which a module extends them, without the collection's name."""
    result: dict[str, dict[str, t.Any]] = {}
    for path in sorted((root / "plugins" / "doc_fragments").glob("*.py")):
        for node in ast.parse(text(path)).body:
            if not isinstance(node, ast.ClassDef):
                continue
            for name, value in assigned(ast.Module(body=node.body, type_ignores=[])).items():
                if isinstance(value, ast.Constant):
                    key = path.stem if name == "DOCUMENTATION" else f"{path.stem}.{name.lower()}"
                    result[key] = yaml.safe_load(str(value.value)) or {}
    return result


def extended(documentation: dict[str, t.Any]) -> list[str]:
    names = documentation.get("extends_documentation_fragment", [])
    return [name.removeprefix("exalt.caching.") for name in ([names] if isinstance(names, str) else names)]


# ---- the rules


def imports_go_downwards(root: Path) -> Findings:
    """module_utils imports only downwards, and nothing imports in a circle."""
    base = root / "plugins" / "module_utils"
    place = {name: level for level, names in enumerate(LAYERS) for name in names}
    level_of: dict[str, int] = {}
    graph: dict[str, set[str]] = {}
    findings: Findings = []
    for path in module_utils(root):
        inside = path.relative_to(base).with_suffix("").parts
        name = ".".join(inside)
        level_of[name] = place.get(inside[0], place["pure"])
        graph[name] = set()
        for target in _imported(ast.parse(text(path)), inside):
            if target.startswith("!"):
                findings.append(f"{short(root, path)} imports {target[1:]}, which is above module_utils")
            else:
                graph[name].add(target)
    for name, targets in sorted(graph.items()):
        for target in sorted(targets):
            above = place.get(target.split(".")[0], place["pure"])
            if above < level_of[name]:
                findings.append(f"module_utils/{name} imports {target}, which is above it")
    findings += [f"module_utils imports in a circle: {' -> '.join(circle)}" for circle in _circles(graph)]
    return findings


def _imported(tree: ast.Module, inside: tuple[str, ...]) -> t.Iterator[str]:
    """Dotted names below module_utils that a file imports; a leading ! marks other parts of the collection."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = [*COLLECTION_UTILS.split("."), *inside][: -node.level]
            parts += node.module.split(".") if node.module else []
            full = [".".join([*parts, alias.name]) for alias in node.names]
        else:
            continue
        for name in full:
            if name.startswith(COLLECTION_UTILS + "."):
                below = name.removeprefix(COLLECTION_UTILS + ".").split(".")
                # a package's file is two names deep, everything else one; what follows is a name in the file
                yield ".".join(below[:2] if below[0] == "_resources" else below[:1])
            elif name.startswith("ansible_collections.exalt.caching."):
                yield "!" + name.removeprefix("ansible_collections.exalt.caching.")


def _circles(graph: dict[str, set[str]]) -> list[list[str]]:
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> None:
        if name in trail:
            found.append([*trail[trail.index(name) :], name])
            return
        if name in done or name not in graph:
            return
        for target in sorted(graph[name]):
            visit(target, [*trail, name])
        done.add(name)

    for start in sorted(graph):
        visit(start, [])
    return found


def check_mode_is_read_in_one_place(root: Path) -> Findings:
    """Only the reconciler and the frame of plan-then-apply modules read check mode."""
    findings: Findings = []
    for path in files(root / "plugins", ".py") if (root / "plugins").exists() else []:
        if path.parent.name == "module_utils" and path.name in READS_CHECK_MODE:
            continue
        for node in ast.walk(ast.parse(text(path))):
            reads = (
                isinstance(node, ast.Attribute)
                and node.attr == "check_mode"
                or isinstance(node, ast.Name)
                and node.id == "check_mode"
                or isinstance(node, ast.Constant)
                and node.value in ("check_mode", "_ansible_check_mode")
            )
            if reads:
                findings.append(f"{short(root, path)}:{getattr(node, 'lineno', 0)} reads check mode")
    return findings


def modules_are_documented(root: Path) -> Findings:
    """Every module has attributes, examples and return values."""
    findings: Findings = []
    known = fragments(root)
    for path in modules(root):
        parts = docs(path)
        findings += [f"{path.stem} has no {name}" for name in DOCS if not parts.get(name)]
        documentation = parts.get("DOCUMENTATION") or {}
        attributes: dict[str, t.Any] = {}
        for name in extended(documentation):
            attributes.update(known.get(name, {}).get("attributes") or {})
        attributes.update(documentation.get("attributes") or {})
        wanted = ("check_mode", "diff_mode", "platform")
        findings += [f"{path.stem} does not document the attribute {name}" for name in wanted if name not in attributes]
        if path.stem.endswith("_info") and attributes.get("check_mode", {}).get("support") != "full":
            findings.append(f"{path.stem} only reads, so it must support check mode fully")
    return findings


def modules_are_in_their_groups(root: Path) -> Findings:
    """A module is in an action group if and only if it takes the whole fragment."""
    groups = (load(root / "meta" / "runtime.yml") or {}).get("action_groups", {})
    findings: Findings = []
    names = {path.stem: extended(docs(path).get("DOCUMENTATION") or {}) for path in modules(root)}
    for group in GROUPS:
        members = groups.get(group, [])
        for name, takes in names.items():
            if group in takes and name not in members:
                findings.append(f"{name} extends the fragment {group}, but is not in the action group {group}")
            if group not in takes and name in members:
                findings.append(f"{name} is in the action group {group}, but does not extend its fragment")
        findings += [
            f"the action group {group} names {name}, which is no module" for name in members if name not in names
        ]
    return findings


def modules_have_integration_tests(root: Path) -> Findings:
    """Every module is used by an integration test."""
    folder = root / "tests" / "integration"
    words: set[str] = set()
    for path in folder.rglob("*"):
        if path.suffix in (".py", ".yml"):
            words |= set(re.findall(r"\w+", text(path)))
    return [f"{path.stem} is used by no integration test" for path in modules(root) if path.stem not in words]


def returns_hide_no_dict_method(root: Path) -> Findings:
    """No returned key, nested ones too, is the name of a dict method."""

    def bad(values: t.Any, place: str) -> t.Iterator[str]:
        for key, entry in (values or {}).items():
            if key in DICT_METHODS:
                yield f"{place}{key} is the name of a dict method"
            if isinstance(entry, dict):
                yield from bad(entry.get("contains"), f"{place}{key}.")

    return [finding for path in modules(root) for finding in bad(docs(path).get("RETURN"), f"{path.stem} returns ")]


def files_are_small(root: Path) -> Findings:
    """Size budgets of modules, module_utils, task files and playbooks."""
    findings: Findings = []

    def limit(path: Path, most: int) -> None:
        lines = len(text(path).splitlines())
        if lines > most:
            findings.append(f"{short(root, path)} has {lines} lines, at most {most}")

    for path in modules(root):
        limit(path, 400)
        code = _code_lines(text(path))
        if code > 120:
            findings.append(f"{short(root, path)} has {code} lines of code besides its documentation, at most 120")
    for path in module_utils(root):
        limit(path, 350)
    for role in roles(root):
        for path in sorted(role.glob("tasks/**/*.yml")):
            limit(path, 60 if path.name == "main.yml" else 100)
    for path in sorted((root / "playbooks").glob("*.yml")):
        limit(path, 90)
    return findings


def _code_lines(source: str) -> int:
    """Lines of a module that are neither its documentation, nor comments, nor empty."""
    outside = set(range(1, len(source.splitlines()) + 1))
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in DOCS:
            outside -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = source.splitlines()
    return sum(1 for number in outside if lines[number - 1].strip() and not lines[number - 1].lstrip().startswith("#"))


def role_variables_are_declared(root: Path) -> Findings:
    """Defaults and argument specs of a role have the same keys; only the role caching has public variables."""
    findings: Findings = []
    public = set(load(root / "roles" / "caching" / "defaults" / "main.yml") or {})
    for role in roles(root):
        defaults = set(load(role / "defaults" / "main.yml") or {})
        specs = (load(role / "meta" / "argument_specs.yml") or {}).get("argument_specs") or {}
        options = {key: option for spec in specs.values() for key, option in (spec.get("options") or {}).items()}
        if not specs:
            findings.append(f"role {role.name} has no argument specs")
        for key in sorted(key for key in defaults if not key.startswith("_") and key not in options):
            findings.append(f"role {role.name}: the default {key} is in no argument spec")
        known = defaults if role.name == "caching" else public | defaults
        for key in sorted(key for key, option in options.items() if key not in known and not option.get("required")):
            findings.append(f"role {role.name}: the argument {key} has no default")
        if role.name != "caching":
            findings += [f"role {role.name} has the public variable {key}" for key in sorted(defaults) if key[0] != "_"]
        findings += [f"role {role.name}: {key} does not begin with caching_" for key in options if not _named(key)]
    return findings


def _named(key: str) -> bool:
    return key.lstrip("_").startswith("caching_")


def facts_spoil_no_variables(root: Path) -> Findings:
    """A registered variable, a fact and the variable of a loop beat the `vars` of a task, also of another role and in a later play.

    So a name is one or the other. And what a verb of a platform keeps, in the role caching, no other role keeps by the same name: it calls the verb
    in between.
    """
    facts: dict[str, str] = {}
    verbs: dict[str, str] = {}
    others: dict[str, str] = {}
    variables: dict[str, str] = {}
    for role in roles(root):
        for path in sorted((role / "tasks").rglob("*.yml")):
            for task in _tasks(load(path)):
                made = [task["register"]] if isinstance(task.get("register"), str) else []
                for action in ("ansible.builtin.set_fact", "set_fact"):
                    made += list(task.get(action) or {})
                made += [name for key, name in (task.get("loop_control") or {}).items() if key in ("loop_var", "index_var")]
                facts.update(dict.fromkeys(made, short(root, path)))
                (verbs if role.name == "caching" else others).update(dict.fromkeys(made, short(root, path)))
                variables.update(dict.fromkeys(task.get("vars") or {}, short(root, path)))
    return [
        *(f"{variables[name]}: the variable {name} is made in {facts[name]}, too, which beats it" for name in sorted(facts.keys() & variables.keys())),
        *(f"{others[name]}: {name} is kept in {verbs[name]}, too" for name in sorted(others.keys() & verbs.keys())),
    ]


def _tasks(found: t.Any) -> t.Iterator[dict[str, t.Any]]:
    for task in found if isinstance(found, list) else []:
        if isinstance(task, dict):
            yield task
            for part in ("block", "rescue", "always"):
                yield from _tasks(task.get(part))


def what_is_included_gets_no_short_names(root: Path) -> Findings:
    """Variables of a task that includes others hold in all of them and beat theirs, so they have names that nobody else takes by chance."""
    findings: Findings = []
    for role in roles(root):
        for path in sorted((role / "tasks").rglob("*.yml")):
            for task in _tasks(load(path)):
                if any(str(key).rpartition(".")[2] in ("include_tasks", "import_tasks", "include_role", "import_role") for key in task):
                    short_ones = [name for name in task.get("vars") or {} if not name.lstrip("_").startswith(("caching_", f"{role.name}_"))]
                    findings += [f"{short(root, path)}: {name} holds in what is included, too: call it __caching_{name}" for name in short_ones]
    return findings


def roles_are_complete(root: Path) -> Findings:
    """Every role has a README, a description, and (but for itself) the role caching as dependency."""
    findings: Findings = []
    for role in roles(root):
        if not (role / "README.md").exists():
            findings.append(f"role {role.name} has no README.md")
        meta = load(role / "meta" / "main.yml") or {}
        if not (meta.get("galaxy_info") or {}).get("description"):
            findings.append(f"role {role.name} has no description in meta/main.yml")
        names = [entry if isinstance(entry, str) else entry.get("role") for entry in meta.get("dependencies") or []]
        if role.name != "caching" and not {"caching", "exalt.caching.caching"} & set(names):
            findings.append(f"role {role.name} does not name the role caching as dependency")
    return findings


def fragments_match_arguments(root: Path) -> Findings:
    """Documentation fragments and the fragments of _arguments.py have the same names and options."""
    path = root / "plugins" / "module_utils" / "_arguments.py"
    values = assigned(ast.parse(text(path)))
    named = values.get("FRAGMENTS")
    if not isinstance(named, ast.Dict):
        return ["_arguments.py has no FRAGMENTS"]
    specs: dict[str, set[str]] = {}
    for key, value in zip(named.keys, named.values):
        value = values.get(value.id, value) if isinstance(value, ast.Name) else value
        if isinstance(key, ast.Constant) and isinstance(value, ast.Dict):
            specs[str(key.value)] = {str(option.value) for option in value.keys if isinstance(option, ast.Constant)}
    known = {name: set(parts.get("options") or {}) for name, parts in fragments(root).items()}
    documented = {name: options for name, options in known.items() if options}
    findings = [f"the fragment {name} is only in _arguments.py" for name in sorted(set(specs) - set(documented))]
    findings += [f"the fragment {name} is only documented" for name in sorted(set(documented) - set(specs))]
    for name in sorted(set(specs) & set(documented)):
        findings += [f"{name}: {option} is only in _arguments.py" for option in sorted(specs[name] - documented[name])]
        findings += [f"{name}: {option} is only documented" for option in sorted(documented[name] - specs[name])]
    owners: dict[str, list[str]] = {}
    for name, options in specs.items():
        for option in options:
            owners.setdefault(option, []).append(name)
    findings += [
        f"{option} stands in the fragments {', '.join(sorted(o))}" for option, o in owners.items() if len(o) > 1
    ]
    return findings


def nothing_private_is_published(root: Path) -> Findings:
    """No file holds a path of one machine or a secret."""
    findings: Findings = []
    for path in files(root):
        try:
            content = text(path)
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(content.splitlines(), 1):
            place = f"{short(root, path)}:{number}"
            if MACHINE_PATH.search(line):
                findings.append(f"{place} holds a path of one machine")
            findings += [f"{place} holds {what}" for what, pattern in SECRETS.items() if pattern.search(line)]
    return findings


def licences_are_named(root: Path) -> Findings:
    """Every Python file, and every YAML file of plugins, begins with its licence."""
    findings: Findings = []
    for path in files(root, ".py", ".yml"):
        name = short(root, path)
        if not text(path).strip() or (path.suffix == ".yml" and not name.startswith("plugins/")):
            continue
        wanted = "BSD-2-Clause" if name.startswith("plugins/module_utils/") else "GPL-3.0-or-later"
        head = "\n".join(text(path).splitlines()[:6])
        if f"SPDX-License-Identifier: {wanted}\n" not in head + "\n" or "Copyright (c) " not in head:
            findings.append(f"{name} does not begin with its copyright and SPDX-License-Identifier: {wanted}")
    return findings


def sanity_ignores_nothing(root: Path) -> Findings:
    """No sanity test is silenced."""
    return [
        f"{short(root, path)} silences sanity tests" for path in sorted((root / "tests" / "sanity").glob("ignore*.txt"))
    ]


RULES: tuple[Rule, ...] = (
    imports_go_downwards,
    check_mode_is_read_in_one_place,
    modules_are_documented,
    modules_are_in_their_groups,
    modules_have_integration_tests,
    returns_hide_no_dict_method,
    files_are_small,
    role_variables_are_declared,
    facts_spoil_no_variables,
    what_is_included_gets_no_short_names,
    roles_are_complete,
    fragments_match_arguments,
    nothing_private_is_published,
    licences_are_named,
    sanity_ignores_nothing,
)
