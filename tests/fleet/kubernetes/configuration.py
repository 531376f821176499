# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the cluster's programs, and their configuration files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tests.fleet import paths
from tests.fleet.images import catalogue
from tests.fleet.kubernetes.layout import (
    API_ADDRESS, API_PORT, DNS_ADDRESS, ETCD, METRICS_PORT, NETWORK_NAME, NODES, POD_NETWORK, SERVICE_NETWORK, Node, State,
)
from tests.fleet.kubernetes.programs import Programs

# Who changes what is written down; what the cluster does by itself is not.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"]},
        {"level": "None", "users": ["system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy", "system:apiserver",
                                    "trial-dns", "trial-metrics", "trial-cert-manager", "system:anonymous"]},
        {"level": "Metadata"},
    ],
}
NOT_USED = ("io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
            "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.tracing")


def containerd(state: State, node: Node, programs: Programs) -> str:
    # restrict_oom_score_adj: a machine without CAP_SYS_RESOURCE may not lower a score
    place = state.node(node)
    return f"""version = 2
root = "{place}/containerd"
state = "{place}/containerd-state"
disabled_plugins = {json.dumps(NOT_USED)}
[grpc]
  address = "{state.socket(node)}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{place}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/{catalogue.PAUSE}:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  stream_server_address = "{node.address}"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{programs.cni}"
    conf_dir = "{place}/cni"
"""


def network(state: State, node: Node) -> dict[str, object]:
    ipam = {"type": "host-local", "dataDir": str(state.node(node) / "addresses"), "ranges": [[{"subnet": node.subnet}]],
            "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": node.device, "isGateway": True, "ipMasq": False, "hairpinMode": True, "ipam": ipam}
    return {"cniVersion": "0.4.0", "name": f"{NETWORK_NAME}-{node.number}", "plugins": [bridge]}


def kubelet(state: State, node: Node) -> dict[str, object]:
    place, certificates = state.node(node), state.certificates
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": node.address, "port": 10250, "healthzPort": 0, "readOnlyPort": 0,
        "cgroupDriver": "cgroupfs", "cgroupRoot": "/", "cgroupsPerQOS": False, "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": f"unix://{state.socket(node)}", "failSwapOn": False, "failCgroupV1": False,
        "featureGates": {"KubeletInUserNamespace": True}, "makeIPTablesUtilChains": False,
        "clusterDomain": "cluster.local", "clusterDNS": [DNS_ADDRESS], "resolvConf": str(state.folder / "resolv.conf"),
        "tlsCertFile": str(certificates / f"{node.name}.crt"), "tlsPrivateKeyFile": str(certificates / f"{node.name}.key"),
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                           "x509": {"clientCAFile": str(certificates / "ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "podLogsDir": str(place / "pod-logs"), "volumePluginDir": str(place / "volume-plugins"),
        "imageGCHighThresholdPercent": 100, "evictionHard": {"memory.available": "50Mi"}, "nodeStatusUpdateFrequency": "4s",
        "registerWithTaints": [], "maxPods": 60, "serializeImagePulls": False, "logging": {"verbosity": 1},
        # the nodes share one machine: each says that it has a part of it
        "systemReserved": {"cpu": "100m", "memory": "256Mi"},
    }


def proxy(state: State) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables",
        "clientConnection": {"kubeconfig": str(state.kubeconfig("system:kube-proxy"))}, "hostnameOverride": NODES[0].name,
        "clusterCIDR": POD_NETWORK, "healthzBindAddress": "", "metricsBindAddress": "127.0.41.2:10249",
        # limits of the machine's connection tracking stay as they are
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        # nodes are addresses of one machine: without masquerading the answer would take another way
        "iptables": {"masqueradeAll": True, "localhostNodePorts": False},
    }


def write_all(state: State, programs: Programs) -> None:
    paths.write(state.folder / "audit-policy.yml", json.dumps(AUDIT_POLICY))
    paths.write(state.folder / "resolv.conf", "")
    paths.write(state.folder / "proxy.yml", json.dumps(proxy(state)))
    paths.write(state.folder / "Corefile", "\n".join((
        ".:53 {", f"    bind {DNS_ADDRESS}", "    errors", "    cache 2", "    kubernetes cluster.local {",
        f"        kubeconfig {state.kubeconfig('trial-dns')} trial", f"        endpoint https://{API_ADDRESS}:{API_PORT}", "        ttl 1",
        "    }", "}", "")))
    for node in NODES:
        place = state.node(node)
        paths.write(place / "cni/10-bridge.conflist", json.dumps(network(state, node)))
        paths.write(place / "containerd.toml", containerd(state, node, programs))
        paths.write(place / "kubelet.yml", json.dumps(kubelet(state, node)))


def control(state: State, programs: Programs) -> Iterator[tuple[str, list[str]]]:
    """Name and command of each program that is there once, in the order of their start."""
    certificates, client = state.certificates, f"http://{ETCD}:2379"
    yield "etcd", [
        str(programs.debian / "usr/bin/etcd"), "--data-dir", str(state.folder / "etcd"), "--listen-client-urls", client,
        "--advertise-client-urls", client, "--listen-peer-urls", f"http://{ETCD}:2380", "--initial-advertise-peer-urls",
        f"http://{ETCD}:2380", "--initial-cluster", f"default=http://{ETCD}:2380", "--unsafe-no-fsync"]
    options = {
        "etcd-servers": client, "bind-address": API_ADDRESS, "advertise-address": API_ADDRESS, "secure-port": API_PORT,
        "cert-dir": certificates, "tls-cert-file": certificates / "apiserver.crt", "tls-private-key-file": certificates / "apiserver.key",
        "client-ca-file": certificates / "ca.crt", "token-auth-file": certificates / "tokens.csv",
        "kubelet-client-certificate": certificates / "apiserver-kubelet.crt", "kubelet-client-key": certificates / "apiserver-kubelet.key",
        "kubelet-certificate-authority": certificates / "ca.crt", "kubelet-preferred-address-types": "InternalIP",
        "service-account-key-file": certificates / "accounts.key", "service-account-signing-key-file": certificates / "accounts.key",
        "service-account-issuer": "https://kubernetes.default.svc", "service-cluster-ip-range": SERVICE_NETWORK,
        "authorization-mode": "Node,RBAC", "enable-admission-plugins": "NodeRestriction", "allow-privileged": "true",
        "requestheader-client-ca-file": certificates / "front-proxy-ca.crt", "requestheader-allowed-names": "front-proxy",
        "requestheader-username-headers": "X-Remote-User", "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-", "proxy-client-cert-file": certificates / "front-proxy.crt",
        "proxy-client-key-file": certificates / "front-proxy.key", "profiling": "false",
        "audit-policy-file": state.folder / "audit-policy.yml", "audit-log-path": state.audit,
    }
    yield "apiserver", [str(programs.kube), "apiserver", *(f"--{name}={value}" for name, value in options.items())]
    yield "controller-manager", [
        str(programs.kube), "controller-manager", f"--kubeconfig={state.kubeconfig('system:kube-controller-manager')}",
        f"--service-account-private-key-file={certificates / 'accounts.key'}", f"--root-ca-file={certificates / 'ca.crt'}",
        "--use-service-account-credentials=true", "--leader-elect=false", "--secure-port=0", "--node-monitor-period=2s",
        "--node-monitor-grace-period=16s", "--profiling=false"]
    yield "scheduler", [str(programs.kube), "scheduler", f"--kubeconfig={state.kubeconfig('system:kube-scheduler')}",
                        "--leader-elect=false", "--secure-port=0", "--profiling=false"]
    yield "proxy", [str(programs.kube), "proxy", f"--config={state.folder / 'proxy.yml'}"]
    metrics = {
        "kubeconfig": state.kubeconfig("trial-metrics"), "authentication-kubeconfig": state.kubeconfig("trial-metrics"),
        "authorization-kubeconfig": state.kubeconfig("trial-metrics"), "bind-address": API_ADDRESS, "secure-port": METRICS_PORT,
        "tls-cert-file": certificates / "apiserver.crt", "tls-private-key-file": certificates / "apiserver.key",
        "kubelet-certificate-authority": certificates / "ca.crt", "kubelet-preferred-address-types": "InternalIP",
        "metric-resolution": "10s", "kubelet-request-timeout": "5s",
    }
    yield "metrics-server", [str(programs.kube), "metrics-server", *(f"--{name}={value}" for name, value in metrics.items())]
    yield "coredns", [str(programs.kube), "coredns", "-conf", str(state.folder / "Corefile")]


def runtime(state: State, node: Node, programs: Programs) -> list[str]:
    return [str(programs.debian / "usr/bin/containerd"), "--config", str(state.node(node) / "containerd.toml")]


def agent(state: State, node: Node, programs: Programs) -> list[str]:
    place: Path = state.node(node)
    return [str(programs.kube), "kubelet", f"--config={place / 'kubelet.yml'}", f"--kubeconfig={state.kubeconfig(node.user)}",
            f"--root-dir={place / 'kubelet'}", f"--hostname-override={node.name}", f"--node-ip={node.address}",
            f"--cert-dir={state.certificates}"]
