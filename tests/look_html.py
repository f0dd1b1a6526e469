"""`python -m tests.look_html DIRECTORY` (`make look-html`): the page of `-o html` as headless Chromium shows it.

Writes pages of 80 and of 20,000 rows with pictures of them, light and dark, sorted, filtered and scrolled, for people
to look at, and prints how many milliseconds of CPU time each step took in the page's main thread. Takes Debian's
package chromium, which is too large to be one of .ci/apt-packages.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from nsagent.errors import Reason
from nsagent.model.choices import OutputFormat, View
from nsagent.model.gap import Gap, Kind, Stage, Subject, merge_gaps
from nsagent.model.snapshot import Snapshot
from nsagent.report.render import OutputOptions, render_answer
from tests.bench.render import make_snapshot

_STEPS: Final = {
    "sort": "document.querySelectorAll('th button')[3].click()",
    "sort back": "document.querySelectorAll('th button')[3].click()",
    "filter": "i = document.getElementById('filter'); i.value = 'listen 17'; i.dispatchEvent(new Event('input'))",
    "filter less": "i = document.getElementById('filter'); i.value = 'listen'; i.dispatchEvent(new Event('input'))",
    "filter no more": "i = document.getElementById('filter'); i.value = ''; i.dispatchEvent(new Event('input'))",
    "scroll": "scrollTo(0, document.body.scrollHeight / 2)",
    "scroll to the end": "scrollTo(0, document.body.scrollHeight)",
}
_UNTIL_SHOWN: Final = """
new Promise((done) => {
  %s;
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)));
})
"""


class Browser:
    """A headless Chromium, by the Chrome DevTools Protocol over two pipes."""

    def __init__(self, to: int, of: int) -> None:
        self._to, self._of = os.fdopen(to, "wb", buffering=0), os.fdopen(of, "rb", buffering=0)
        self._number, self._rest = 0, b""
        self._session: str | None = None

    def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """The result of one command; events that come meanwhile are dropped."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, page: Path, *, dark: bool) -> None:
        """Load a page in a tab of its own and wait until all of it is there."""
        self._session = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Page.enable")
        self.ask("Performance.enable", timeDomain="threadTicks")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Emulation.setDeviceMetricsOverride", width=1400, height=900, deviceScaleFactor=1, mobile=False)
        self.ask("Page.navigate", url=page.as_uri())
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, of a promise what it is resolved to."""
        result = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def cpu_seconds(self) -> float:
        """The time that the page's main thread has run so far, its start included."""
        metrics = {each["name"]: each["value"] for each in self.ask("Performance.getMetrics")["metrics"]}
        seconds: float = metrics["ThreadTime"]
        return seconds

    def picture(self, path: Path) -> None:
        """Keep what is shown now."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = self._of.read(1 << 20)
            if not chunk:
                raise RuntimeError("chromium has ended")
            self._rest += chunk
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser that ends with the block."""
    (read_by_it, to), (of, written_by_it) = os.pipe(), os.pipe()
    # It reads commands from fd 3 and answers on fd 4.
    program = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "about:blank"]
    started = subprocess.Popen(
        ["bash", "-c", program, "bash", str(read_by_it), str(written_by_it), "chromium", *arguments],
        pass_fds=(read_by_it, written_by_it),
        stderr=subprocess.DEVNULL,
    )
    os.close(read_by_it)
    os.close(written_by_it)
    try:
        yield Browser(to, of)
    finally:
        started.terminate()
        started.wait()


def make_pages(directory: Path) -> dict[str, Path]:
    """The pages to look at, by their names."""
    snapshot = make_snapshot()
    gaps = (
        *(Gap(Stage.FDS, Subject(Kind.PROCESS, str(pid)), Reason.DENIED, "EACCES") for pid in (1, 7, 12)),
        Gap(Stage.NAMES, Subject(Kind.SOURCE, "docker (unix:///run/docker.sock)"), Reason.REFUSED, "ECONNREFUSED"),
    )
    lacking = snapshot._replace(coverage=snapshot.coverage._replace(complete=False, gaps=merge_gaps(gaps)))
    few = lacking._replace(sockets=snapshot.sockets[:80])
    return {
        "80": _write(directory / "80.html", few, OutputOptions(OutputFormat.HTML)),
        "80 in groups": _write(
            directory / "groups.html", few, OutputOptions(OutputFormat.HTML, group_by=("container", "state"))
        ),
        "20000": _write(
            directory / "20000.html",
            snapshot._replace(sockets=snapshot.sockets[:20_000]),
            OutputOptions(OutputFormat.HTML),
        ),
    }


def main(directory: Path) -> None:
    """Make the pages, take the pictures, print the times."""
    directory.mkdir(parents=True, exist_ok=True)
    with open_browser() as browser:
        for name, page in make_pages(directory).items():
            print(f"{name} rows: {page.stat().st_size:,} bytes")
            for dark in (False, True):
                browser.open(page, dark=dark)
                browser.picture(directory / f"{page.stem}-{'dark' if dark else 'light'}.png")
                print(f"  load: {1000 * browser.cpu_seconds():.0f} ms")
            for number, (step, code) in enumerate(_STEPS.items()):
                before = browser.cpu_seconds()
                browser.evaluate(_UNTIL_SHOWN % code)
                print(f"  {step}: {1000 * (browser.cpu_seconds() - before):.0f} ms")
                browser.picture(directory / f"{page.stem}-{number}-{step.replace(' ', '-')}.png")


def _write(path: Path, snapshot: Snapshot, options: OutputOptions) -> Path:
    path.write_text("".join(render_answer(snapshot, View.SOCKETS, options)), encoding="utf-8")
    return path.absolute()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
