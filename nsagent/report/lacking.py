"""What a capture or a pass lacks, for stderr: a line for each thing, with what would have kept it."""

from collections.abc import Iterable

from nsagent.model.lacking import Lacking, LackingKind
from nsagent.report.escape import escape


def lacking_lines(lacking: Iterable[Lacking], name: str, *, captured: bool = True) -> list[str]:
    """One printable line, without its end, for each; `name` is that of the capture, or of the pass, for users."""
    return [escape(f"{name} {_words(each, captured=captured)}") for each in lacking]


def _words(lacking: Lacking, *, captured: bool) -> str:
    match lacking.kind:
        case LackingKind.TABLES:
            return f"holds no table of {', '.join(lacking.protocols)}: capture it with --all"
        case LackingKind.IDLE_SOCKETS:
            what = f"{'holds' if captured else 'has'} no sockets that are bound and do nothing"
            if not lacking.seen:
                return f"{what}: capture it with --deep"
            if lacking.skipped == lacking.seen:
                return f"{what}: only sock_diag tells of them, from Linux 6.8"
            return f"{what} of {lacking.skipped} of {lacking.seen} netns: they were read from /proc"
        case LackingKind.OWNERS:
            return "holds no owners: capture it without --owners container"
        case LackingKind.NETNS:
            return f"is of some containers only: {lacking.skipped} of {lacking.seen} netns were not read"
        case LackingKind.INTERFACES:
            return "holds no interfaces: nsagent capture keeps them, and an agent with a report of netns or containers"
        case LackingKind.TCP_INFO:
            if captured:
                return "holds no TCP_INFO: capture it with --tcp-info"
            return f"has no TCP_INFO of {lacking.skipped} of {lacking.seen} netns: they were read from /proc"
