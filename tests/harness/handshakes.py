# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that verify, all the time: each handshake is a new connection, as strict as Python is, with what is trusted at that moment.

A client is who the modules are: it shows and trusts what is in their own folder, and reads one whole version of it for each handshake.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import ssl
import subprocess
import threading
import time
import typing as t
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.harness.tls_parties import openssl

SERVICE, REDIS = "service", "redis"


class Handshakes:
    """`endpoints`: host:port → what speaks there. `folder`: where `current` leads to the version in force."""

    def __init__(self, folder: Path, endpoints: Mapping[str, str], pause: float = 0.3) -> None:
        self.folder, self.endpoints, self.pause = folder, endpoints, pause
        self.done = 0
        self.failures: list[str] = []
        self.seen: dict[str, list[str]] = {endpoint: [] for endpoint in endpoints}     # fingerprints, in the order in which they came
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._go_on, args=(endpoint,), daemon=True) for endpoint in endpoints]

    def __enter__(self) -> t.Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(10)

    def _go_on(self, endpoint: str) -> None:
        while not self._over.is_set():
            try:
                found = self.once(endpoint)
            except (OSError, ValueError) as error:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {endpoint}: {error}")
            else:
                self.done += 1
                if self.seen[endpoint][-1:] != [found]:
                    self.seen[endpoint].append(found)
            self._over.wait(self.pause)

    def once(self, endpoint: str) -> str:
        """One handshake and one question; the fingerprint that was shown."""
        host, _colon, port = endpoint.rpartition(":")
        version = self.folder / os.readlink(self.folder / "current")
        context = ssl.create_default_context(cafile=str(version / "ca.crt"))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        if self.endpoints[endpoint] == REDIS:
            context.load_cert_chain(version / "tls.crt", version / "tls.key")
        with socket.create_connection((host, int(port)), 10) as plain, context.wrap_socket(plain, server_hostname=host) as secure:
            ask, expected = (b"PING\r\n", (b"+PONG", b"-NOAUTH")) if self.endpoints[endpoint] == REDIS else (
                b"GET /actuator/health/liveness HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", (b"HTTP/1.1 ",))
            secure.sendall(ask)      # with TLS 1.3 the other side refuses a client's certificate after the handshake only
            answer = secure.recv(64)
            if not answer.startswith(expected):
                raise ValueError(f"answered {answer!r}")
            return hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()


class OpenSsl(Handshakes):
    """The same by OpenSSL's own command, a process for each handshake."""

    def once(self, endpoint: str) -> str:
        version = self.folder / os.readlink(self.folder / "current")
        words = ["s_client", "-connect", endpoint, "-CAfile", version / "ca.crt", "-x509_strict", "-verify_return_error",
                 "-verify_ip", endpoint.rpartition(":")[0], "-cert", version / "tls.crt", "-key", version / "tls.key"]
        code, said = openssl(*words)
        if code or "Verification: OK" not in said:
            raise ValueError(f"openssl ended with {code}: {said.strip().splitlines()[-1:]}")
        found = re.search("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\\n", said, re.S)
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0])).hexdigest() if found else ""


JAVA = """
import java.io.*; import java.nio.file.*; import java.security.*; import javax.net.ssl.*;
public class Client {
  static KeyStore store(Path path, char[] password) throws Exception {
    KeyStore found = KeyStore.getInstance("PKCS12");
    try (InputStream in = Files.newInputStream(path)) { found.load(in, password); }
    return found;
  }
  public static void main(String[] given) throws Exception {
    char[] password = given[1].toCharArray();
    while (true) {
      for (int place = 2; place < given.length; place++) {
        String host = given[place].substring(0, given[place].lastIndexOf(':'));
        int port = Integer.parseInt(given[place].substring(host.length() + 1));
        try {
          Path version = Path.of(given[0], "current").toRealPath();
          KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
          keys.init(store(version.resolve("keystore.p12"), password), password);
          TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
          trust.init(store(version.resolve("truststore.p12"), password));
          SSLContext context = SSLContext.getInstance("TLS");
          context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
          try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(host, port)) {
            SSLParameters settings = socket.getSSLParameters();
            settings.setEndpointIdentificationAlgorithm("HTTPS");
            socket.setSSLParameters(settings);
            socket.startHandshake();
            boolean http = port == 8443;
            socket.getOutputStream().write((http ? "GET / HTTP/1.1\\r\\nHost: t\\r\\nConnection: close\\r\\n\\r\\n" : "PING\\r\\n").getBytes());
            byte[] begin = socket.getInputStream().readNBytes(1);
            System.out.println(begin.length == 1 ? "ok" : "failed " + given[place] + ": no answer");
          }
        } catch (Exception error) {
          System.out.println("failed " + given[place] + ": " + error);
        }
        System.out.flush();
        Thread.sleep(200);
      }
    }
  }
}
"""


@contextlib.contextmanager
def java(folder: Path, password: str, endpoints: t.Iterable[str], work: Path) -> Iterator[list[str]]:
    """The same by a JVM with the keystores of `folder`; a line for each handshake, `ok` or why not, in the list."""
    source = work / "Client.java"
    source.write_text(JAVA)
    words = ["java", "-XX:TieredStopAtLevel=1", str(source), str(folder), password, *endpoints]
    lines: list[str] = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True) as machine:
        assert machine.stdout
        reader = threading.Thread(target=lambda: lines.extend(line.strip() for line in t.cast("t.IO[str]", machine.stdout)), daemon=True)
        reader.start()
        try:
            yield lines
        finally:
            machine.kill()
            reader.join(5)
