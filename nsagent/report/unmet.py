"""What was asked for that no container has, in words: for stderr, as the answer may be empty for it.

`-l` and `-n` are flags of ss(8) too, without a value: `-ltnp` is taken for `-l tnp` here.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from nsagent.model.unmet import Unmet, UnmetKind
from nsagent.report.escape import escape

_LETTERS: Final = {UnmetKind.KUBE_NAMESPACE: "n", UnmetKind.LABEL: "l"}
_SS_PROTOCOLS: Final = {"t": "tcp", "u": "udp", "S": "sctp", "w": "raw", "0": "packet"}
_SS_FLAGS: Final = frozenset("lanp").union(_SS_PROTOCOLS)
"""Those that are typed by habit; of `-n` and `-p` nothing is to be told: no name is looked up, and rows have owners."""


def unmet_lines(unmet: Iterable[Unmet]) -> list[str]:
    """One printable line, without its end, for each."""
    return [escape(_words(each)) for each in unmet]


def _words(unmet: Unmet) -> str:
    match unmet.kind:
        case UnmetKind.KUBE_NAMESPACE:
            text = f"--kube-namespace {unmet.text}: no container is known to be of a pod in it"
        case UnmetKind.LABEL:
            text = f"--label {unmet.text}: no container is known to have such labels"
    flags = _LETTERS[unmet.kind] + unmet.text.lstrip("-")
    if len(flags) == len(set(flags)) and _SS_FLAGS.issuperset(flags):
        text += f"; what ss -{flags} shows: {' '.join(('nsagent scan', *_list_options(flags)))}"
    return text


def _list_options(flags: str) -> Iterator[str]:
    """What `scan` is told to show what ss does, which without `-l` and `-a` shows what is connected."""
    if "l" in flags:
        yield "--listening"
    elif "a" not in flags:
        yield "--state connected"
    if protocols := [_SS_PROTOCOLS[flag] for flag in flags if flag in _SS_PROTOCOLS]:
        yield f"--protocol {','.join(protocols)}"
