"""Options that several commands share, each with its help and its NSAGENT_* variable."""

from pathlib import Path
from typing import Annotated

import typer

from nsagent.cli.completion import list_container_names
from nsagent.model.choices import ColourWhen, EngineName, OutputFormat, OwnersWanted

# typer 0.28 reads these annotations at run time: Optional is what it understands on every Python.
Container = Annotated[
    list[str] | None,
    typer.Option(
        "--container",
        "-c",
        metavar="NAME",
        help="Container by name, id, id prefix, [NS/]POD/CONTAINER, or compose service.",
        autocompletion=list_container_names,
    ),
]
PodOption = Annotated[
    list[str] | None,
    typer.Option("--pod", metavar="[NS/]NAME", help="Pod by name, with or without its namespace, or uid."),
]
KubeNamespace = Annotated[
    list[str] | None,
    typer.Option("--kube-namespace", "-n", metavar="NAME", help="Containers of the pods in this Kubernetes namespace."),
]
Label = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        "-l",
        metavar="SELECTOR",
        help="Containers with these labels, or of pods with them: KEY=VALUE, KEY!=VALUE, KEY, !KEY; a comma means and.",
    ),
]
Owners = Annotated[
    OwnersWanted,
    typer.Option(
        "--owners",
        envvar="NSAGENT_OWNERS",
        help="pid: the processes that hold each socket. container: only the container that made it, which is cheaper.",
    ),
]
NetnsOption = Annotated[
    list[str] | None,
    typer.Option("--netns", metavar="NETNS", help="Netns by inode, `ip netns` name, path, or 'host'."),
]
PidOption = Annotated[list[str] | None, typer.Option("--pid", metavar="PID", help="Sockets that this process holds.")]
Port = Annotated[list[str] | None, typer.Option("--port", metavar="PORT", help="Local or remote port.")]
ProtocolOption = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="tcp, udp, udplite, raw, icmp, sctp, packet, netlink or vsock; their tables are then read.",
    ),
]
State = Annotated[
    list[str] | None,
    typer.Option(
        "--state", metavar="NAME", help="Socket state as the kernel calls it: listen, established, time_wait ..."
    ),
]
Listening = Annotated[
    bool, typer.Option("--listening", help="What listens, and UDP and the like without a remote, as ss -l.")
]
AllTables = Annotated[bool, typer.Option("--all", help="The tables of all protocols, not of TCP and UDP alone.")]
Deep = Annotated[
    bool, typer.Option("--deep", help="Look at every thread too, and at sockets that are bound and do nothing.")
]
WithTcpInfo = Annotated[
    bool, typer.Option("--tcp-info", help="What TCP knows of each connection: round trip, retransmits, bytes.")
]
Since = Annotated[
    Path | None,
    typer.Option(
        "--since",
        metavar="FILE",
        help="An earlier capture of this host: it tells who held what is closing now.",
    ),
]
Engine = Annotated[
    EngineName,
    typer.Option("--engine", envvar="NSAGENT_ENGINE", help="How tables are read; auto takes the best that works."),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        envvar="NSAGENT_RUNTIME",
        metavar="SPEC",
        help="What to ask for names: docker=unix:///run/docker.sock, podman=, cri=, bundles=DIR, logs=DIR, or none.",
    ),
]
HostRoot = Annotated[
    Path,
    typer.Option(
        "--host-root", envvar="NSAGENT_HOST_ROOT", metavar="DIR", help="Where the host's root directory is seen."
    ),
]
ProcRoot = Annotated[
    Path,
    typer.Option("--proc-root", envvar="NSAGENT_PROC_ROOT", metavar="DIR", help="Where the procfs to read is."),
]
FromFile = Annotated[
    Path | None,
    typer.Option("--from", envvar="NSAGENT_FROM", metavar="FILE", help="Read a capture instead of this host."),
]
CaptureFile = Annotated[
    Path | None, typer.Option("--capture", metavar="FILE", help="Also keep the facts of this very pass in FILE.")
]
Output = Annotated[
    OutputFormat, typer.Option("--output", "-o", envvar="NSAGENT_OUTPUT", help="How the answer is printed.")
]
NoHeaders = Annotated[bool, typer.Option("--no-headers", help="Tables and CSV without their header line.")]
SortBy = Annotated[
    list[str] | None, typer.Option("--sort-by", metavar="COLUMN", help="Sort by this column; -COLUMN descends.")
]
Columns = Annotated[
    list[str] | None, typer.Option("--columns", metavar="COLUMN", help="Columns of table, wide and csv.")
]
Colour = Annotated[
    ColourWhen, typer.Option("--color", envvar="NSAGENT_COLOR", help="Colour in tables; NO_COLOR turns it off.")
]
Strict = Annotated[
    bool, typer.Option("--strict", envvar="NSAGENT_STRICT", help="Exit with 3 if anything could not be seen.")
]
Debug = Annotated[bool, typer.Option("--debug", envvar="NSAGENT_DEBUG", help="Show the traceback of an error.")]
