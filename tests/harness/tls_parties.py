# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parties that judge certificates: OpenSSL's command, Python's strict checks, a JVM, a Redis that speaks only TLS."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import redis

from tests.fleet import built, paths
from tests.harness.scratch import Scratch, ScratchError, free_ports, server

JAVA = """
import java.io.*; import java.nio.file.*; import java.security.*; import java.security.cert.*; import javax.net.ssl.*;
public class Tls {
  static KeyStore store(String path, char[] password) throws Exception {
    KeyStore found = KeyStore.getInstance("PKCS12");
    try (InputStream in = Files.newInputStream(Path.of(path))) { found.load(in, password); }
    return found;
  }
  public static void main(String[] given) throws Exception {
    char[] password = given[2].toCharArray();
    KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
    keys.init(store(given[0], password), password);
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(store(given[1], password));
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
    for (int place = 4; place < given.length; place++) {
      try (java.net.Socket plain = new java.net.Socket("127.0.0.1", Integer.parseInt(given[3]))) {
        SSLSocket named = (SSLSocket) context.getSocketFactory().createSocket(plain, given[place], Integer.parseInt(given[3]), true);
        SSLParameters settings = named.getSSLParameters();
        settings.setEndpointIdentificationAlgorithm("HTTPS");
        named.setSSLParameters(settings);
        named.startHandshake();
        named.getOutputStream().write("hello".getBytes());
        System.out.println(given[place] + " " + named.getSession().getProtocol() + " " + new String(named.getInputStream().readNBytes(2)));
        named.close();
      } catch (Exception error) {
        System.out.println(given[place] + " refused: " + error.getMessage());
      }
    }
  }
}
"""


def openssl(*words: str | Path) -> tuple[int, str]:
    """OpenSSL's own command; Debian's is unpacked where the machine has none."""
    program, environment = shutil.which("openssl"), dict(os.environ)
    if not program:
        folder = built.unpacked(paths.cache() / "openssl", ("openssl",), {})
        program, environment["LD_LIBRARY_PATH"] = str(folder / "usr/bin/openssl"), built.environment(folder)["LD_LIBRARY_PATH"]
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def has_java() -> bool:
    return bool(shutil.which("java") and shutil.which("keytool"))


def java(folder: Path, keystore: Path, truststore: Path, password: str, port: int, *names: str) -> list[str]:
    """A JVM that shows the keystore and trusts the truststore connects once for each name; what it says of each."""
    source = folder / "Tls.java"
    source.write_text(JAVA)
    words = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", str(source), str(keystore), str(truststore), password, str(port), *names]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def strict_client(roots: Path | str, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """As `ssl.create_default_context` makes it since Python 3.13."""
    context = ssl.create_default_context(cafile=str(roots))
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    if pair:
        context.load_cert_chain(*pair)
    return context


def shake(context: ssl.SSLContext, port: int, name: str, host: str = "127.0.0.1") -> str:
    """What refused the handshake, or nothing."""
    try:
        with socket.create_connection((host, port), timeout=10) as wire, context.wrap_socket(wire, server_hostname=name) as talk:
            talk.sendall(b"hello")
            return "" if talk.recv(2) == b"ok" else "no answer"
    except (ssl.SSLError, OSError) as error:
        return getattr(error, "verify_message", None) or str(error)


@contextlib.contextmanager
def talker(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Something that listens, and does this with each connection; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, _address = listener.accept()
                threading.Thread(target=answer, args=(wire,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


@contextlib.contextmanager
def tls_server(certificate: Path, key: Path, roots: Path | None = None, **settings: t.Any) -> Iterator[int]:
    """A server of Python's; with `roots` it wants a client certificate, checked as strictly."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if roots:
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(roots)
    for name, value in settings.items():
        setattr(context, name, value)

    def answer(wire: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(wire, server_side=True) as talk:
            talk.settimeout(5)
            if talk.recv(5):
                talk.sendall(b"ok")

    with talker(answer) as port:
        yield port


class Node:
    """A redis-server that speaks TLS on every port, the cluster bus too, and wants a certificate of everybody."""

    def __init__(self, folder: Path, tls: Path) -> None:
        self.folder, self.tls = folder, tls
        (self.port,) = free_ports(1)
        self.bus = self.port + 10000
        folder.mkdir()
        program = server("redis")
        settings = {"port": "0", "tls-port": str(self.port), "bind": "127.0.0.1", "bind-source-addr": "127.0.0.1", "dir": str(folder), "save": "",
                    "cluster-enabled": "yes",
                    "tls-cluster": "yes", "tls-replication": "yes", "tls-auth-clients": "yes", **self.files(tls)}
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program.program, *words], stdout=log, stderr=log, env={**os.environ, **program.environment})
        Scratch.until(lambda: bool(self.client().ping()), "a node does not answer")

    @staticmethod
    def files(tls: Path) -> dict[str, str]:
        return {"tls-cert-file": str(tls / "tls.crt"), "tls-key-file": str(tls / "tls.key"), "tls-ca-cert-file": str(tls / "ca.crt")}

    def client(self, tls: Path | None = None) -> redis.Redis:
        pair = tls or self.tls
        return redis.Redis("127.0.0.1", self.port, ssl=True, ssl_ca_certs=str(pair / "ca.crt"), ssl_certfile=str(pair / "tls.crt"),
                           ssl_keyfile=str(pair / "tls.key"),
                           socket_timeout=5, decode_responses=True)

    def reload(self) -> None:
        """The same paths once more, in one command (recipe 5.5)."""
        self.client().execute_command("CONFIG", "SET", *(word for pair in self.files(self.tls).items() for word in pair))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


__all__ = ("Node", "ScratchError", "has_java", "java", "openssl", "shake", "strict_client", "talker", "tls_server")
