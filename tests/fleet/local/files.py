# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what the fleet is started from: secrets, certificates and the configuration of its programs."""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
from pathlib import Path

from tests.fleet import paths
from tests.fleet.certificates import Authority
from tests.fleet.local.layout import (
    BUS_PORT, DATABASE_PRODUCTS, INSTANCES, MANAGEMENT_PORT, NODES, OPERATOR, REDIS_PORT, SECRETS, SERVICE_PORT, STORE, TLS, TLS_PORT, VERSION,
    Instance, Node, State,
)
from tests.fleet.redis_servers import server
from tests.fleet.service import database

SOCKET_LIMIT = 107 - len(".4194304")     # supervisord binds `<socket>.<pid>` first
OBSERVER_RULES = (
    "~* &* -@all +@read +@connection +info +role +time +command +cluster|info +cluster|nodes +cluster|slots "
    "+cluster|shards +cluster|myid +slowlog|get +slowlog|len +latency|latest +client|list +config|get +memory|usage"
)
SERVICE_RULES = (
    "~* &* +@all -@admin -@dangerous +info +role +cluster|info +cluster|nodes +cluster|slots +cluster|shards"
)


def socket_folder(state: State) -> None:
    """A unix socket's path is limited to 107 bytes: remember a short folder where ours is too long."""
    if len(os.fsencode(state.folder / "supervisor.sock")) > SOCKET_LIMIT:
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        base = runtime if os.access(runtime, os.W_OK) and len(os.fsencode(runtime)) < SOCKET_LIMIT // 2 else "/tmp"
        paths.write(state.socket_note, tempfile.mkdtemp(prefix="exalt-", dir=base))


def certificates(state: State) -> None:
    """One for each instance, which it also shows to Redis; with TLS on Redis also one for each node, and one for the modules."""
    authority = Authority("Exalt Caching local fleet")
    authority.keep(state.authority)
    authority.supply(state.certificate(OPERATOR), OPERATOR, OPERATOR)
    for instance in INSTANCES:
        authority.supply(state.certificate(instance.name), "caching-service", "localhost", "127.0.0.1", "caching-service", instance.host)
    if TLS:
        for node in NODES:
            authority.supply(state.certificate(node.name), node.name, node.host)


def node_config(state: State, node: Node) -> str:
    folder = state.certificate(node.name)
    port = (f"port {REDIS_PORT}",) if not state.redis_tls else (
        "port 0", f"tls-port {REDIS_PORT}", "tls-cluster yes", "tls-replication yes", "tls-auth-clients yes",
        f'tls-ca-cert-file "{folder / "ca.crt"}"', f'tls-cert-file "{folder / "tls.crt"}"', f'tls-key-file "{folder / "tls.key"}"',
    )
    # A node that supervisor restarts must not come back empty, or its replica would copy the emptiness: hence the AOF.
    return "\n".join((
        *port, f"bind {node.host}", f"bind-source-addr {node.host}",
        "daemonize no", f'dir "{state.work(node.name)}"',
        "cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000",
        f"cluster-announce-ip {node.host}", f"cluster-announce-bus-port {BUS_PORT}",
        'save ""', "appendonly yes", "appendfsync no", "repl-diskless-sync yes", "repl-diskless-sync-delay 0",
        "repl-backlog-size 16mb", "maxmemory 512mb", "maxmemory-policy allkeys-lru", "latency-monitor-threshold 100",
        f'requirepass "{state.secret("redis_password")}"', f'masterauth "{state.secret("redis_password")}"',
        f'user caching-service on >{state.secret("redis_service_password")} {SERVICE_RULES}',
        f'user observer on >{state.secret("redis_observer_password")} {OBSERVER_RULES}', "",
    ))


def properties(instance: Instance) -> str:
    return f"# POST /actuator/refresh reads this again\ncache.instance.name={instance.name}\n"


def store_identities(state: State) -> str:
    """Who may use the S3 service."""
    key = {"accessKey": state.secret("store_access_key"), "secretKey": state.secret("store_secret_key")}
    allowed = ["Admin", "Read", "Write", "List", "Tagging"]
    return json.dumps({"identities": [{"name": "fleet", "credentials": [key], "actions": allowed}]})


def store_commands(state: State) -> dict[str, str]:
    place = f"-ip={STORE.host} -ip.bind={STORE.host}"
    master = f"-master={STORE.host}:{STORE.master_port}"
    weed = f'"{Path(sys.executable).parent / "weed"}" -logtostderr=true'
    sockets = state.socket.parent       # a unix socket's path must be short
    return {
        "store-master": f'{weed} master {place} -port={STORE.master_port} -mdir="{state.work("store-master")}" '
                        "-volumeSizeLimitMB=1024 -telemetry=false",
        "store-volume": f'{weed} volume {place} -port={STORE.volume_port} -dir="{state.work("store-volume")}" '
                        f"{master} -max=200 -preStopSeconds=0",
        "store-s3": f'{weed} filer {place} -port={STORE.filer_port} {master} -defaultStoreDir="{state.work("store-s3")}" '
                    f'-localSocket="{sockets}/filer.sock" -s3 -s3.port={STORE.port} -s3.localSocket="{sockets}/s3.sock" '
                    f'-s3.config="{state.work("store-s3")}/identities.json" -s3.autoCreateBucket=false '
                    "-s3.port.iceberg=0 -s3.port.lance=0",
    }


def program(state: State, name: str, command: str, environment: dict[str, str], *, first: bool) -> str:
    settings = {
        "command": command,
        "directory": state.work(name),
        "environment": ",".join(f'{key}="{value}"' for key, value in environment.items()),
        "autostart": "true" if first else "false",
        "autorestart": "true",
        "startsecs": 0 if first else 1,
        "startretries": 10,
        "stopsignal": "KILL" if name in STORE.programs else "TERM",     # it takes seconds to stop, and its data goes anyway
        "stopwaitsecs": 10,
        "redirect_stderr": "true",
        "stdout_logfile": state.logs / f"{name}.log",
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": 1,
    }
    lines = (f"{key} = {str(value).replace('%', '%%')}" for key, value in settings.items() if value != "")
    return f"[program:{name}]\n" + "\n".join(lines) + "\n"


def service_command(state: State, instance: Instance) -> str:
    redis = ",".join(node.address for node in NODES)
    folder = state.certificate(instance.name)
    if state.redis_tls:
        redis += f' --redis-ca "{folder / "ca.crt"}" --redis-cert "{folder / "tls.crt"}" --redis-key "{folder / "tls.key"}"'
    return (
        f'"{sys.executable}" -m tests.fleet.images.content.start_service --host {instance.host} --port {SERVICE_PORT} '
        f"--management-port {MANAGEMENT_PORT} --tls-port {TLS_PORT} "
        f'--tls-cert "{folder / "tls.crt"}" --tls-key "{folder / "tls.key"}" --redis {redis} '
        f'--database "{state.database}" --config "{state.properties(instance.name)}"'
    )


def supervisor_config(state: State) -> str:
    user = "user = root\n" if os.geteuid() == 0 else ""
    socket = str(state.socket).replace("%", "%%")
    folder = str(state.folder).replace("%", "%%")
    environment = {
        "PYTHONPATH": str(paths.ROOT), "CACHING_VERSION": VERSION,
        "REDIS_USERNAME": "caching-service", "REDIS_PASSWORD": state.secret("redis_service_password"),
        **{name.upper(): state.secret(name) for name in ("api_token", "admin_token", "monitor_token")},
    }
    head = (
        f"[unix_http_server]\nfile = {socket}\nchmod = 0600\n\n"
        f"[supervisord]\n{user}logfile = {folder}/logs/supervisord.log\npidfile = {folder}/supervisord.pid\n"
        f"childlogdir = {folder}/logs\ndirectory = {folder}\numask = 077\n\n"
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = "
        "supervisor.rpcinterface:make_main_rpcinterface\n\n"
        f"[supervisorctl]\nserverurl = unix://{socket}\n"
    )
    redis = server("redis" if state.redis_tls else "valkey")
    nodes = (program(state, node.name, f'"{redis.program}" "{state.node_config(node.name)}"', dict(redis.environment),
                     first=True) for node in NODES)
    services = (program(state, instance.name, service_command(state, instance), environment, first=False)
                for instance in INSTANCES)
    stores = (program(state, name, command, {"HOME": str(state.work(name))}, first=name == STORE.programs[0])
              for name, command in store_commands(state).items())
    return "\n".join((head, *nodes, *services, *stores))


def write_all(state: State) -> None:
    """Everything that has to exist before the first program starts."""
    works = [state.work(name) for name in (*(part.name for part in NODES + INSTANCES), *STORE.programs)]
    for folder in (state.folder, state.logs, state.store, *works):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in SECRETS:
        paths.write(state.secrets / name, secrets.token_hex(24))
    socket_folder(state)
    certificates(state)
    database.make(state.database, DATABASE_PRODUCTS)
    for instance in INSTANCES:
        paths.write(state.properties(instance.name), properties(instance))
    for node in NODES:
        paths.write(state.node_config(node.name), node_config(state, node))
    paths.write(state.work("store-s3") / "identities.json", store_identities(state))
    paths.write(state.supervisor_config, supervisor_config(state))
