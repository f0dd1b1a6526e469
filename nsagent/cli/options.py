"""Options that several commands share, as themes: each option with its help, its NSAGENT_* variable and its default.

Values are as typed. What becomes of them is told by the methods, which import what they need: a
command that only prints its help pays for none of it.
"""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from nsagent.cli.command import is_of_environment
from nsagent.cli.completion import (
    list_column_names,
    list_container_names,
    list_each,
    list_netns_names,
    list_pids,
    list_pod_names,
)
from nsagent.errors import UsageError
from nsagent.model.choices import ColourWhen, EngineName, OutputFormat, OwnersWanted, View
from nsagent.model.net import Protocol, SocketState

if TYPE_CHECKING:
    from nsagent.query.filter import Filter
    from nsagent.report.render import OutputOptions
    from nsagent.scan.plan import TablesWanted
    from nsagent.scan.request import SnapshotRequest

Texts = list[str] | None
Format = TypeVar("Format", bound=str)

PodNames = Annotated[
    Texts,
    typer.Option(
        "--pod",
        metavar="[NS/]NAME",
        help="Pod by name, with or without its namespace, or uid.",
        autocompletion=list_pod_names,
    ),
]

Engine = Annotated[
    EngineName,
    typer.Option(
        "--engine",
        envvar="NSAGENT_ENGINE",
        case_sensitive=False,
        help="How tables are read; auto takes the best that works.",
    ),
]
CountBy = Annotated[
    Texts,
    typer.Option(
        "--count-by",
        metavar="COLUMN",
        help="Not sockets, but how many are alike in these columns.",
        autocompletion=list_column_names,
    ),
]
NoHeaders = Annotated[bool, typer.Option("--no-headers", help="Tables and CSV without their header line.")]
Colour = Annotated[
    ColourWhen,
    typer.Option(
        "--color", envvar="NSAGENT_COLOR", case_sensitive=False, help="Colour in tables; NO_COLOR turns it off."
    ),
]
Debug = Annotated[bool, typer.Option("--debug", envvar="NSAGENT_DEBUG", help="Show the traceback of an error.")]


def output_option(*formats: str) -> Any:
    """`-o` of a command that has these formats alone; see settle_output."""
    return typer.Option(
        "--output",
        "-o",
        envvar="NSAGENT_OUTPUT",
        case_sensitive=False,
        metavar=f"<{'|'.join(formats)}>",
        help="How the answer is printed.",
        autocompletion=lambda incomplete: [each for each in formats if each.startswith(incomplete)],
    )


def settle_output(context: typer.Context, output: str, *formats: Format) -> Format:
    """The format that was typed; raises UsageError for one that the command does not have.

    NSAGENT_OUTPUT is for all commands: where it names a format of others, it says nothing here.
    """
    for each in formats:
        if each == output.lower():
            return each
    if not is_of_environment(context, "output"):
        raise UsageError(f"--output: expected one of {', '.join(formats)}, got '{output}'")
    return formats[0]


class WhichContainers(NamedTuple):
    """Which containers the answer is about."""

    container: Annotated[
        Texts,
        typer.Option(
            "--container",
            "-c",
            metavar="NAME",
            help="Container by name, id, id prefix, [NS/]POD/CONTAINER, or compose service.",
            autocompletion=list_container_names,
        ),
    ] = None
    pod: PodNames = None
    kube_namespace: Annotated[
        Texts,
        typer.Option(
            "--kube-namespace", "-n", metavar="NAME", help="Containers of the pods in this Kubernetes namespace."
        ),
    ] = None
    label: Annotated[
        Texts,
        typer.Option(
            "--label",
            "-l",
            metavar="SELECTOR",
            help="Containers with these labels, or of pods with them: KEY=VALUE, KEY!=VALUE, KEY, !KEY; "
            "a comma means and.",
        ),
    ] = None

    def make_filter(self) -> "Filter":
        """These options alone as a filter; raises UsageError."""
        from nsagent.query.filter import make_filter

        return make_filter(**self._asdict())


class WhichSockets(NamedTuple):
    """Which sockets the answer is about."""

    netns: Annotated[
        Texts,
        typer.Option(
            "--netns",
            metavar="NETNS",
            help="Netns by inode, `ip netns` name, path, key:N, or 'host'.",
            autocompletion=list_netns_names,
        ),
    ] = None
    pid: Annotated[
        Texts,
        typer.Option("--pid", metavar="PID", help="Sockets that this process holds.", autocompletion=list_pids),
    ] = None
    port: Annotated[Texts, typer.Option("--port", metavar="PORT", help="Local or remote port.")] = None
    protocol: Annotated[
        Texts,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="tcp, udp, udplite, raw, icmp, sctp, packet, netlink or vsock; their tables are then read.",
            autocompletion=list_each(lambda: Protocol),
        ),
    ] = None
    state: Annotated[
        Texts,
        typer.Option(
            "--state",
            metavar="NAME",
            help="Socket state as the kernel calls it: listen, established, time_wait ...",
            autocompletion=list_each(lambda: SocketState),
        ),
    ] = None
    local: Annotated[
        Texts, typer.Option("--local", metavar="ADDR|CIDR", help="Local address, or the prefix that it is in.")
    ] = None
    remote: Annotated[
        Texts, typer.Option("--remote", metavar="ADDR|CIDR", help="Remote address, or the prefix that it is in.")
    ] = None
    listening: Annotated[
        bool, typer.Option("--listening", help="What listens, and UDP and the like without a remote, as ss -l.")
    ] = False

    def narrow(self, chosen: "Filter") -> "Filter":
        """The filter with these options too; raises UsageError."""
        from nsagent.query.filter import narrow_filter

        return narrow_filter(chosen, **self._asdict())


class HowFar(NamedTuple):
    """How far a pass looks."""

    all_tables: Annotated[
        bool, typer.Option("--all", help="The tables of all protocols, not of TCP and UDP alone.")
    ] = False
    deep: Annotated[
        bool, typer.Option("--deep", help="Look at every thread too, and at sockets that are bound and do nothing.")
    ] = False
    tcp_info: Annotated[
        bool, typer.Option("--tcp-info", help="What TCP knows of each connection: round trip, retransmits, bytes.")
    ] = False

    def make_wanted(self, protocols: frozenset[Protocol] = frozenset()) -> "TablesWanted":
        """The tables of these protocols, or of all, beside those that every pass reads."""
        from nsagent.scan.plan import PROTOCOLS, TablesWanted

        wanted = frozenset(Protocol) if self.all_tables else protocols.union(PROTOCOLS)
        return TablesWanted(wanted, self.deep, self.tcp_info)


class Owning(NamedTuple):
    """To whom rows are attributed."""

    since: Annotated[
        Path | None,
        typer.Option(
            "--since",
            readable=False,
            metavar="FILE",
            help="An earlier capture of this host: it tells who held what is closing now.",
        ),
    ] = None
    owners: Annotated[
        OwnersWanted,
        typer.Option(
            "--owners",
            case_sensitive=False,
            envvar="NSAGENT_OWNERS",
            help="pid: the processes that hold each socket. "
            "container: only the container that made it, which is cheaper.",
        ),
    ] = OwnersWanted.PID


class Host(NamedTuple):
    """Where this host is seen, and what is asked for names."""

    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            envvar="NSAGENT_RUNTIME",
            metavar="SPEC",
            help="What to ask for names: docker=unix:///run/docker.sock, podman=, cri=, bundles=DIR, logs=DIR, "
            "or none.",
        ),
    ] = None
    host_root: Annotated[
        Path,
        typer.Option(
            "--host-root",
            readable=False,
            envvar="NSAGENT_HOST_ROOT",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Where the host's root directory is seen.",
        ),
    ] = Path("/")
    proc_root: Annotated[
        Path,
        typer.Option(
            "--proc-root",
            readable=False,
            envvar="NSAGENT_PROC_ROOT",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Where the procfs to read is.",
        ),
    ] = Path("/proc")

    @property
    def name(self) -> str:
        """What the answer calls this host."""
        return os.environ.get("NSAGENT_HOST") or os.uname().nodename

    def make_request(self) -> "SnapshotRequest":
        """A request that starts now."""
        from nsagent.scan.request import SnapshotRequest

        return SnapshotRequest(
            self.name, time.time_ns(), str(self.proc_root), host_root=os.path.abspath(self.host_root)
        )


AgentSocket = Annotated[
    Path,
    typer.Option(
        "--agent-socket", readable=False, envvar="NSAGENT_SOCKET", metavar="PATH", help="Where the agent is asked."
    ),
]
AGENT_SOCKET = Path("/run/nsagent/agent.sock")
"""Where the agent is asked unless its config, and this option, say otherwise."""


class Source(NamedTuple):
    """What is read: this host, a capture, or the last pass of the agent."""

    host: Host = Host()
    from_file: Annotated[
        Path | None,
        typer.Option(
            "--from",
            readable=False,
            envvar="NSAGENT_FROM",
            metavar="FILE",
            help="Read a capture instead of this host; - for stdin.",
        ),
    ] = None
    capture: Annotated[
        Path | None,
        typer.Option(
            "--capture", readable=False, metavar="FILE", help="Also keep the facts of this very pass in FILE."
        ),
    ] = None
    agent: Annotated[
        bool, typer.Option("--agent", help="Ask the running agent for its last pass instead of making one.")
    ] = False
    agent_socket: AgentSocket = AGENT_SOCKET

    @property
    def is_captured(self) -> bool:
        """Whether it is a pass of another time, and nothing of this host is read."""
        return self.agent or self.from_file is not None

    def make_request(self) -> "SnapshotRequest":
        """A request that starts now, of this host or of the capture; raises AgentUnavailable, and UsageError."""
        from nsagent.scan.capture_file import STDIO

        if self.capture == STDIO:
            raise UsageError("--capture: expected a file: stdout has the answer; use nsagent capture -")
        request = replace(self.host.make_request(), from_file=self.from_file, capture=self.capture)
        if not self.agent:
            return request
        from nsagent.cli.agent_client import ask_capture

        return replace(request, from_file=self.agent_socket, captured=ask_capture(self.agent_socket))


class Printing(NamedTuple):
    """How the answer is printed, and what its exit status tells."""

    output: Annotated[
        OutputFormat,
        typer.Option(
            "--output", "-o", envvar="NSAGENT_OUTPUT", case_sensitive=False, help="How the answer is printed."
        ),
    ] = OutputFormat.TABLE
    no_headers: NoHeaders = False
    sort_by: Annotated[
        Texts,
        typer.Option(
            "--sort-by",
            metavar="COLUMN",
            help="Sort by this column; -COLUMN descends.",
            autocompletion=list_column_names,
        ),
    ] = None
    columns: Annotated[
        Texts,
        typer.Option(
            "--columns",
            metavar="COLUMN",
            help="Columns of table, wide, csv, markdown and html.",
            autocompletion=list_column_names,
        ),
    ] = None
    color: Colour = ColourWhen.AUTO
    strict: Annotated[
        bool, typer.Option("--strict", envvar="NSAGENT_STRICT", help="Exit with 3 if anything could not be seen.")
    ] = False
    debug: Debug = False
    context: typer.Context | None = None

    def make_options(self, view: View, count_by: Texts = None) -> "OutputOptions":
        """These options for a view, with what the terminal allows; raises UsageError, and MissingExtra.

        NSAGENT_OUTPUT is for all commands: where it names a format that this view has not, it says nothing here.
        """
        from nsagent.cli.columns import split_columns
        from nsagent.cli.write import tell_left_out, terminal_width, use_colour
        from nsagent.report.render import OutputOptions, check_options, has_format

        fits = has_format(view, self.output) or not is_of_environment(self.context, "output")
        options = OutputOptions(
            format=self.output if fits else OutputFormat.TABLE,
            columns=split_columns(self.columns, "--columns") or None,
            sort_by=split_columns(self.sort_by, "--sort-by"),
            headers=not self.no_headers,
            colour=use_colour(self.color, os.environ),
            width=terminal_width(os.environ),
            group_by=split_columns(count_by, "--count-by"),
            tell_left_out=tell_left_out,
        )
        check_options(view, options)
        return options
