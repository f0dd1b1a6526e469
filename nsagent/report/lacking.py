"""What a capture lacks, for stderr: a line for each thing, with the option that would have kept it."""

from collections.abc import Iterable

from nsagent.model.lacking import Lacking, LackingKind
from nsagent.report.escape import escape


def lacking_lines(lacking: Iterable[Lacking], file: str) -> list[str]:
    """One printable line, without its end, for each; `file` is the capture's name as the user knows it."""
    return [escape(f"{file} {_words(each)}") for each in lacking]


def _words(lacking: Lacking) -> str:
    match lacking.kind:
        case LackingKind.TABLES:
            return f"holds no table of {', '.join(lacking.protocols)}: capture it with --all"
        case LackingKind.IDLE_SOCKETS:
            return "holds no sockets that are bound and do nothing: capture it with --deep"
        case LackingKind.OWNERS:
            return "holds no owners: capture it without --owners container"
        case LackingKind.NETNS:
            return f"is of some containers only: {lacking.skipped} of {lacking.seen} netns were not read"
        case LackingKind.TCP_INFO:
            return "holds no TCP_INFO: capture it with --tcp-info"
