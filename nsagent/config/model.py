"""What a config holds, as values: frozen, units worked out, names of fields as in the file. Pure."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from nsagent.config.units import Bytes, Seconds, Share
from nsagent.model.choices import EngineName, OutputFormat, View

HOUR = 3600.0
DAY = 24 * HOUR
MIB = 1 << 20


class _Section(BaseModel):
    """A mapping of the file: no other keys than these, and nothing of it changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Section):
    """What the agent may take; None for no limit."""

    cpu: Share | None = None
    """Of one CPU: passes are paced so that they take no more."""
    memory: Bytes | None = None
    """Beyond it what is kept between passes is let go."""


class Select(_Section):
    """Which rows a report is about: the options of `nsagent scan`, each one value or a list of alternatives."""

    container: tuple[str, ...] = ()
    pod: tuple[str, ...] = ()
    kube_namespace: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    netns: tuple[str, ...] = ()
    pid: tuple[str, ...] = ()
    port: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    listening: bool = False


class Spool(_Section):
    """Where what a receiver has not taken yet is kept."""

    path: str
    """An absolute directory, of this output alone."""
    max_size: Bytes = 64 * MIB


class FileOutput(_Section):
    """A file: replaced as a whole by each report, or, with `max_size`, appended to and rotated."""

    type: Literal["file"]
    path: str
    """Absolute."""
    max_size: Bytes | None = None
    keep: int = Field(5, ge=1, le=1000)
    """How many rotated files stay, beside the one that is written."""


class StdoutOutput(_Section):
    """The agent's standard output."""

    type: Literal["stdout"]


class TextfileOutput(_Section):
    """A file for node_exporter's textfile collector: Prometheus text, whatever the format of the report."""

    type: Literal["textfile"]
    path: str
    """Absolute, and ends with .prom."""


class HttpOutput(_Section):
    """A receiver of POST requests, in the order of the reports."""

    type: Literal["http"]
    url: str
    token_file: str | None = None
    """Holds what is sent as a bearer token; read anew for each report."""
    ca_file: str | None = None
    """Certificates that a server's must be signed by, in PEM; None for those of the system."""
    timeout: Seconds = 10.0
    spool: Spool | None = None
    """None: what is not taken within the tries of one report is dropped, and counted."""


Output = Annotated[FileOutput | StdoutOutput | TextfileOutput | HttpOutput, Field(discriminator="type")]


class Report(_Section):
    """One report: when it is made, of what, how it looks, and where it goes."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    every: Seconds | None = None
    """From start to start, on multiples of itself since the epoch; this or `cron`."""
    cron: str | None = None
    timezone: str | None = None
    """A name of the tz database for `cron`; None for UTC."""
    jitter: Seconds = 0.0
    """Each one is later by up to so much, the same for each on one host."""
    select: Select = Select()
    view: View = View.SOCKETS
    group_by: tuple[str, ...] = ()
    """Columns: rows of one group stand together; of view `top`, what is counted by."""
    columns: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    limit: int | None = Field(None, ge=1)
    """Of view `top`: how many groups are listed, the largest."""
    format: OutputFormat = OutputFormat.JSONL
    diff: bool = False
    """Only what is new or gone since the report before, as changes."""
    labels: bool = False
    """Whether labels of containers and pods are told."""
    outputs: tuple[Output, ...] = (StdoutOutput(type="stdout"),)


class Http(_Section):
    """The HTTP endpoint."""

    listen: str
    """ADDRESS:PORT."""
    token_file: str | None = None


class History(_Section):
    """What is remembered on disk."""

    path: str
    """An absolute file."""
    max_age: Seconds = 7 * DAY
    max_size: Bytes = 256 * MIB


class Config(_Section):
    """A whole config."""

    version: Literal[1]
    interval: Seconds = 30.0
    """The longest time between two passes."""
    limits: Limits = Limits()
    engine: EngineName = EngineName.AUTO
    runtime: str | None = None
    """As --runtime of scan."""
    reports: tuple[Report, ...] = ()
    http: Http | None = None
    history: History | None = None
    socket: str | None = "/run/nsagent/agent.sock"
    """The unix socket for `nsagent status` and `scan --agent`, None for none."""
    log: Literal["line", "json"] = "line"
