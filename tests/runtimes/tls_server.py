"""An engine behind TLS on a real port, with a certificate that is thrown away with the test."""

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from nsagent.agent.outputs.http_post import TlsSocket
from tests.runtimes.engine_server import Behaviour


def make_certificate(directory: Path, name: str = "127.0.0.1") -> None:
    """`ca.pem`, `cert.pem` and `key.pem`, as DOCKER_CERT_PATH has them: one self-signed pair for both ends."""
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=engine", "-addext", f"subjectAltName=IP:{name}",
         "-keyout", directory / "key.pem", "-out", directory / "cert.pem"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    (directory / "ca.pem").write_bytes((directory / "cert.pem").read_bytes())


@contextlib.contextmanager
def serve_tls(directory: Path, behave: Behaviour) -> Iterator[str]:
    """The base URL of an engine that asks its clients for the certificate in `directory`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = TlsSocket
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    context.load_verify_locations(directory / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def treat(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), connection, context.wrap_socket(connection, server_side=True) as inner:
                behave(inner)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=treat, args=(listener.accept()[0],), daemon=True).start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(5)
