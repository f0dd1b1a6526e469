"""Names that the shell completes."""

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from typing import Final

import typer

from nsagent.errors import NsagentError
from nsagent.model.choices import View
from nsagent.model.container import Container
from nsagent.model.ids import ContainerId

_DEADLINE_SECONDS: Final = 0.5
_VIEWS: Final = {
    "netns": View.NETNS,
    "containers": View.CONTAINERS,
    "diff": View.CHANGES,
    "watch": View.EVENTS,
    "history": View.CHANGES,
}
"""Commands that show something else than sockets."""
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*")


def list_container_names(incomplete: str) -> list[str]:
    """Those of find_container_names(), for the shell."""
    return find_container_names(incomplete, _DEADLINE_SECONDS)


def list_pod_names(incomplete: str) -> list[str]:
    """Pods that start so, with and without their namespace, for the shell."""
    return _find(lambda: _read_pods(os.environ, _DEADLINE_SECONDS), incomplete)


def list_each(words: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What may come next where values stand with commas between: the words that start as the last of them."""

    def offer(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{word}" for word in words() if word.startswith(last)]

    return offer


def list_column_names(context: typer.Context, incomplete: str) -> list[str]:
    """Columns of what the command shows, for the shell; those that are sorted by may have a `-`."""
    from nsagent.report.layouts import list_columns

    view = _VIEWS.get(context.info_name or "", View.SOCKETS)
    before, comma, last = incomplete.rpartition(",")
    sign = "-" if last.startswith("-") else ""
    names = (column.name for column in list_columns(view))
    return [f"{before}{comma}{sign}{name}" for name in names if name.startswith(last.removeprefix("-"))]


def list_change_kinds(incomplete: str) -> list[str]:
    """Kinds of changes, for the shell."""
    from nsagent.model.change import ChangeKind

    return list_each(lambda: ChangeKind)(incomplete)


def list_checksums(incomplete: str) -> list[str]:
    """Checksums that can be made, for the shell."""
    from nsagent.kernel.questions import HASHED

    return list_each(lambda: HASHED)(incomplete)


def list_report_names(context: typer.Context, incomplete: str) -> list[str]:
    """Reports of the config that start so, for the shell; none of a config that is wrong or cannot be read."""
    from nsagent.agent.config_file import DEFAULT_PATH, load_config, read_config_file

    with suppress(NsagentError, ImportError):
        config = load_config(read_config_file(str(context.params.get("config_path") or DEFAULT_PATH)), os.environ)
        return [report.name for report in config.reports if report.name.startswith(incomplete)]
    return []


def list_expression_words(context: typer.Context, incomplete: str) -> list[str]:
    """What the last word of an expression may be, for the shell: one of the grammar, or behind `container` a name."""
    from nsagent.query.conditions import WORDS

    before, space, last = incomplete.rpartition(" ")
    words = [*(context.params.get("expression") or ()), *before.split()]
    if (words[:-1] if words[-1:] in (["="], ["!="]) else words)[-1:] == ["container"]:
        offered = list_container_names(last)
    else:
        offered = [word for word in ("not", "and", "or", *WORDS) if word.startswith(last)]
    return [f"{before}{space}{word}" for word in offered]


def list_pids(incomplete: str) -> list[tuple[str, str]]:
    """Processes whose numbers start so, for the shell: each with its command where that is a plain word to every shell.

    Anyone may call a process anything, and a shell may run what it is told to show.
    """
    from nsagent.errors import FormatError, Gone, NotRead
    from nsagent.kernel.procfs import ProcFs

    procfs = ProcFs(os.environ.get("NSAGENT_PROC_ROOT") or "/proc")
    offered = []
    with suppress(NotRead):
        for pid in procfs.list_pids():
            if str(pid).startswith(incomplete):
                with suppress(Gone, NotRead, FormatError), procfs.open_process(pid) as process:
                    comm = process.read_stat().comm
                    offered.append((str(pid), comm if _WORD.fullmatch(comm) else ""))
    return offered


def list_netns_names(incomplete: str) -> list[str]:
    """`host`, and names of `ip netns` that start so, for the shell."""
    root = os.path.abspath(os.environ.get("NSAGENT_HOST_ROOT") or "/")
    names = ["host"]
    with suppress(OSError):
        names += sorted(os.listdir(os.path.join(root, "run/netns")))
    return [name for name in names if name.startswith(incomplete) and _WORD.fullmatch(name)]


def find_container_names(incomplete: str, seconds: float) -> list[str]:
    """The names of containers that start so, as far as they are told in time; [] if nobody can be asked.

    Only those that are a plain word to every shell: whoever runs a container chooses its name and
    its labels, and the shell takes what it is offered for typed text.
    """
    return _find(lambda: _read_names(os.environ, seconds), incomplete)


def _find(read: Callable[[], set[str]], incomplete: str) -> list[str]:
    try:
        names = read()
    except NsagentError:
        # As with a bad NSAGENT_RUNTIME: the command itself will say so, a half-typed line is no place for it.
        return []
    return sorted(name for name in names if name.startswith(incomplete) and _WORD.fullmatch(name))


def _read_names(environ: Mapping[str, str], seconds: float) -> set[str]:
    from nsagent.query.containers import list_names

    return {name for container in _read_containers(environ, seconds) for name in list_names(container)}


def _read_pods(environ: Mapping[str, str], seconds: float) -> set[str]:
    pods = [container.pod for container in _read_containers(environ, seconds) if container.pod is not None]
    named = [(pod.name, pod.kube_namespace) for pod in pods if pod.name is not None]
    return {name for name, _ in named} | {f"{namespace}/{name}" for name, namespace in named if namespace is not None}


def _read_containers(environ: Mapping[str, str], seconds: float) -> Sequence[Container]:
    from nsagent.runtimes.discover import discover_runtimes

    option = environ.get("NSAGENT_RUNTIME") or None
    root = os.path.abspath(environ.get("NSAGENT_HOST_ROOT") or "/")
    with closing(discover_runtimes(option, environ, root, clock=time.monotonic, deadline_seconds=seconds)) as runtimes:
        runtimes.start()
        return runtimes.collect(_list_wanted).containers


def _list_wanted() -> tuple[ContainerId, ...]:
    """An id that no runtime has.

    Runtimes are asked one group after the other while a container that is wanted has no name. Here all
    names are wanted, and who has processes is not looked at: so that all are asked, one must never
    be found.
    """
    return (ContainerId(""),)
