# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of the nodes. What is addressed to a pod or Service that is not there ends on this machine."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.fleet.kubernetes.layout import (
    API_ADDRESS, BOTH_NETWORKS, NODES, NULL_DEVICE, POD_NETWORK, SERVICE_NETWORK, State,
)
from tests.fleet.kubernetes.programs import Programs
from tests.fleet.local.processes import FleetError

FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
# Pods speak with pods and Services only; the comment is how the rule is found again.
FENCE = ["FORWARD", "-s", POD_NETWORK, "!", "-d", BOTH_NETWORKS, "-m", "comment", "--comment", "exalt-caching trial fleet",
         "-j", "REJECT"]


def run(programs: Programs, *command: str, needed: bool = True) -> str:
    done = subprocess.run(command, env=programs.environment, capture_output=True, text=True, check=False)
    if needed and done.returncode:
        raise FleetError(f"{' '.join(command[:4])}: {(done.stderr or done.stdout).strip() or done.returncode}")
    return done.stdout


def chains(programs: Programs) -> set[tuple[str, str, str]]:
    """Chains of Kubernetes in the machine's rules: command, table, name."""
    found = set()
    for command in ("iptables", "ip6tables"):
        table = ""
        for line in run(programs, f"{command}-save", needed=False).splitlines():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith(":KUBE-"):
                found.add((command, table, line[1:].split()[0]))
    return found


def remove_chains(programs: Programs, ours: set[tuple[str, str, str]]) -> None:
    """First the jumps to them, then what is in them, then they themselves."""
    for command, table, name in ours:
        for rule in run(programs, command, "-w", "-t", table, "-S", needed=False).splitlines():
            if rule.startswith("-A") and rule.split()[-2:] == ["-j", name]:
                run(programs, command, "-w", "-t", table, "-D", *rule.split()[1:], needed=False)
        run(programs, command, "-w", "-t", table, "-F", name, needed=False)
    for command, table, name in ours:
        run(programs, command, "-w", "-t", table, "-X", name, needed=False)


def up(state: State, programs: Programs) -> None:
    routes = run(programs, "ip", "-4", "route", "show", "root", BOTH_NETWORKS)
    if routes.strip():
        raise FleetError(f"the network {BOTH_NETWORKS} of the trial cluster is in use on this machine: {routes.splitlines()[0].strip()}")
    (state.folder / "ip_forward").write_text(FORWARD.read_text())
    (state.folder / "chains.json").write_text(json.dumps(sorted(chains(programs))))
    for device, address in [(NULL_DEVICE, f"{API_ADDRESS}/32"), *((node.device, f"{node.address}/24") for node in NODES)]:
        run(programs, "ip", "link", "add", device, "type", "bridge")
        run(programs, "ip", "address", "add", address, "dev", device)
        run(programs, "ip", "link", "set", device, "up")
    # A Service is translated after the route was found, so its network needs a device; a bridge without ports leads nowhere.
    run(programs, "ip", "route", "add", SERVICE_NETWORK, "dev", NULL_DEVICE, "src", API_ADDRESS)
    run(programs, "ip", "route", "add", "unreachable", POD_NETWORK)
    FORWARD.write_text("1")
    run(programs, "iptables", "-w", "-I", *FENCE)


def down(state: State, programs: Programs) -> None:
    while not subprocess.run(["iptables", "-w", "-D", *FENCE], env=programs.environment, capture_output=True, check=False).returncode:
        pass
    for network in (SERVICE_NETWORK, POD_NETWORK):
        run(programs, "ip", "route", "del", network, needed=False)
    for device in (NULL_DEVICE, *(node.device for node in NODES)):
        run(programs, "ip", "link", "del", device, needed=False)
    kept = state.folder / "chains.json"
    if kept.exists():
        remove_chains(programs, chains(programs) - {(one[0], one[1], one[2]) for one in json.loads(kept.read_text())})
    before = state.folder / "ip_forward"
    if before.exists():
        FORWARD.write_text(before.read_text())
