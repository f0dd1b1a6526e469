"""What only a child is asked, of all processes at once, as each of them may let it wait."""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from nsagent.errors import Gone, NotRead
from nsagent.kernel.lookups import Lookups, ProcessLookup
from nsagent.kernel.procfs import ProcessDir
from nsagent.kernel.questions import Question
from nsagent.model.process import ProcessKey

Answer = bytes | Gone | NotRead
Answers = Mapping[str, Answer]
"""Of one process, by what the questions are called."""


class Asked(NamedTuple):
    """A question about a process that is held by this directory, whatever the question is called."""

    key: ProcessKey
    process: ProcessDir
    name: str
    question: Question


class Asker:
    """Asks for as long as a budget lasts; `clock` is monotonic, in seconds, and `stop` ends it soon."""

    def __init__(self, lookups: Lookups, *, clock: Callable[[], float], stop: threading.Event) -> None:
        self._lookups = lookups
        self._clock = clock
        self._stop = stop

    def ask(self, asked: Sequence[Asked], seconds: float) -> Mapping[ProcessKey, Answers]:
        """The answers to all of them, by process; those that do not come in time are NoAnswer."""
        told: defaultdict[ProcessKey, dict[str, Answer]] = defaultdict(dict)
        wanted = [ProcessLookup(one.key, one.process.duplicate, *one.question) for one in asked]
        with closing(self._lookups.read_each(wanted, seconds, clock=self._clock, stop=self._stop)) as answers:
            for index, answer in answers:
                told[asked[index].key][asked[index].name] = answer
        return told
