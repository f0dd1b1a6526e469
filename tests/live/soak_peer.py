"""Who an agent of a closed bed has to do with over HTTP: `soak_peer.py scrape PORT` and `soak_peer.py receive PORT`.

Run as a script in there. `scrape` asks for the metrics every second and says, when stdin closes, how often it was
answered. `receive` answers each POST request with 204, and is ready once it has said so. Both end when stdin closes.
"""

import http.server
import select
import sys
import threading
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 10.0


def scrape(port: int) -> None:
    answered = 0
    print("ready", flush=True)
    while not select.select([0], [], [], 1.0)[0]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_SECONDS) as answer:
                answered += b"\nnsagent_scan_complete " in answer.read()
        except (OSError, urllib.error.URLError):
            continue  # Not there yet, or busy.
    print(answered, flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    """Takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nowhere."""


def receive(port: int) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print("ready", flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    {"scrape": scrape, "receive": receive}[sys.argv[1]](int(sys.argv[2]))
