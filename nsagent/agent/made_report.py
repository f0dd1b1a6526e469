"""From a snapshot to the outputs of a report: made once, handed to each of them, and counted once all have told."""

import threading
from collections.abc import Callable, Sequence

from nsagent.agent.book import Book, Entry
from nsagent.agent.delivery import Delivery
from nsagent.agent.logs import logger
from nsagent.agent.passes import Made
from nsagent.config.model import TextfileOutput
from nsagent.errors import NsagentError
from nsagent.model.choices import OutputFormat


def deliver(name: str, entry: Entry, made: Made, book: Book, delivery: Delivery, *, logged: bool = True) -> None:
    """Make a report of a pass, hand it to its outputs, and do not wait for these. What fails stands in the book.

    `logged`: and in the log, for who does not look into the book.
    """
    try:
        written = entry.maker.make(made.taken.snapshot, made.command_lines.add)
    except NsagentError as err:
        if logged:
            logger.warning("report %s: %s", name, err)
        book.finish(name, [str(err)], made=False)
        return
    except Exception as err:  # noqa: BLE001 - it costs this report, and no other one.
        logger.exception("report %s: a bug", name)
        book.finish(name, [f"a bug: {err!r}"], made=False)
        return
    outcome = Outcome(len(entry.lanes), lambda errors: book.finish(name, errors))
    by_format = {one.format: one for one in written}

    def tell(error: str | None) -> None:
        if error is not None and logged:
            logger.warning("report %s: %s", name, error)
        outcome.add(error)

    for output, lane in zip(entry.maker.report.outputs, entry.lanes, strict=True):
        as_metrics = isinstance(output, TextfileOutput)
        delivery.submit(lane, by_format[OutputFormat.PROM] if as_metrics else written[0], tell)


class Outcome:
    """Gathers how one report fares at all its outputs, and tells once all have told."""

    def __init__(self, parts: int, finish: Callable[[Sequence[str]], object]) -> None:
        self._left = parts
        self._errors: list[str] = []
        self._finish = finish
        self._lock = threading.Lock()

    def add(self, error: str | None) -> None:
        """How one output fared."""
        with self._lock:
            self._left -= 1
            if error is not None:
                self._errors.append(error)
            is_last = not self._left
        if is_last:
            self._finish(self._errors)
