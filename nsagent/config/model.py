"""What a config holds, as values: frozen, units worked out, names of fields as in the file. Pure."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from nsagent.config.texts import (
    Cron,
    Expression,
    FilePath,
    ListenText,
    TextfilePath,
    Timezone,
    Url,
    check_option,
    parse_listen,
)
from nsagent.config.units import Bytes, Seconds, Share, SomeSeconds, WholeSeconds, tell_seconds
from nsagent.config.values import Keep, Limit, OneOrMore, Switch, Version
from nsagent.errors import UsageError
from nsagent.model.choices import Cmdline, EngineName, OutputFormat, View
from nsagent.query.filter import (
    Filter,
    make_filter,
    narrow_filter,
    parse_netns,
    parse_networks,
    parse_pids,
    parse_ports,
    parse_protocols,
    parse_states,
    split_values,
)
from nsagent.query.labels import parse_labels

T = TypeVar("T")

_ARGV: Final = "argv"
"""The column of command lines."""

_WITHOUT_OWNERS: Final = (View.CONTAINERS, View.NETNS, View.CHANGES, View.EVENTS)

_NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"


class Outside(NamedTuple):
    """What a config is held against that other rooms know, or the environment."""

    check_runtime: Callable[[str], object] = str
    """Raises UsageError for what `--runtime` of scan does not take."""
    pod_address: str | None = None
    """The address of the pod that this runs in."""


class _Section(BaseModel):
    """A mapping of the file: no other keys than these, and nothing of it changes.

    What a field must be beside others is checked at the later one of them, so that each is told that is wrong.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _default(text: str) -> Any:
    """A default that is a text of the file, as the JSON Schema shows it."""
    return Field(text, validate_default=True)


class Limits(_Section):
    """What the agent may take; without one there is no limit."""

    cpu: Share | None = None
    """Of one CPU: passes are paced so that they take no more."""
    memory: Bytes | None = None
    """Beyond it what is kept between passes is let go."""


_Name = Annotated[str, check_option(partial(split_values, option="--container"))]


_OF_CONTAINERS: Final = ("container", "pod", "kube_namespace", "label")
"""What selects containers, and of sockets those in them."""


class Select(_Section):
    """Which rows a report is about: the options of `nsagent scan`, each one value or a list of alternatives."""

    container: OneOrMore[_Name] = ()
    """By name, id, prefix of an id, [NS/]POD/CONTAINER, or compose service."""
    pod: OneOrMore[_Name] = ()
    """By name, with or without its namespace, or uid."""
    kube_namespace: OneOrMore[_Name] = ()
    """Containers of the pods in this Kubernetes namespace."""
    label: OneOrMore[Annotated[str, check_option(parse_labels)]] = ()
    """KEY=VALUE, KEY!=VALUE, KEY or !KEY; a comma means and."""
    netns: OneOrMore[Annotated[str, check_option(parse_netns)]] = ()
    """By inode, name of `ip netns`, path, key:N, or host."""
    pid: OneOrMore[Annotated[str, check_option(parse_pids)]] = ()
    """Sockets that this process holds."""
    port: OneOrMore[Annotated[str, check_option(parse_ports)]] = ()
    """Local or remote."""
    protocol: OneOrMore[Annotated[str, check_option(parse_protocols)]] = ()
    """The tables of these are then read."""
    state: OneOrMore[Annotated[str, check_option(parse_states)]] = ()
    """As the kernel calls it: listen, established, time_wait ..."""
    local: OneOrMore[Annotated[str, check_option(partial(parse_networks, option="--local"))]] = ()
    """Local address, or the prefix that it is in."""
    remote: OneOrMore[Annotated[str, check_option(partial(parse_networks, option="--remote"))]] = ()
    """Remote address, or the prefix that it is in."""
    listening: Switch = False
    """What listens, and UDP and the like without a remote, as ss -l."""
    filter: Expression | None = None
    """An expression in the words of ss, as `nsagent scan` takes it; without names of services."""
    ownerless: Switch = False
    """Sockets that no process holds."""
    accept_queue_above: Share | None = None
    """Listeners of which more than this share of the accept queue is taken."""

    def list_of_sockets(self) -> list[str]:
        """Which of these are about sockets, and not about the containers that they are in."""
        return [
            name
            for name, field in type(self).model_fields.items()
            if name not in _OF_CONTAINERS and getattr(self, name) != field.default
        ]

    def make_filter(self) -> Filter:
        """These as a filter."""
        containers = make_filter(
            container=self.container, pod=self.pod, kube_namespace=self.kube_namespace, label=self.label
        )
        wanted = narrow_filter(
            containers,
            netns=self.netns,
            pid=self.pid,
            port=self.port,
            protocol=self.protocol,
            state=self.state,
            local=self.local,
            remote=self.remote,
            listening=self.listening,
            ownerless=self.ownerless,
            accept_queue_above=self.accept_queue_above,
        )
        if self.filter is None:
            return wanted
        from nsagent.query.grammar import parse_expression

        return wanted._replace(expression=parse_expression(self.filter))


class Spool(_Section):
    """Where what a receiver has not taken yet is kept."""

    path: FilePath
    """An absolute directory, of this output alone."""
    max_size: Bytes = _default("64MiB")


class FileOutput(_Section):
    """A file: replaced as a whole by each report, or, with `max_size`, appended to and rotated."""

    type: Literal["file"]
    path: FilePath
    """Absolute."""
    max_size: Bytes | None = None
    keep: Keep = 5
    """How many rotated files stay, beside the one that is written."""


class StdoutOutput(_Section):
    """The agent's standard output."""

    type: Literal["stdout"]


class TextfileOutput(_Section):
    """A file for node_exporter's textfile collector: Prometheus text, whatever the format of the report."""

    type: Literal["textfile"]
    path: TextfilePath
    """Absolute, and ends with .prom."""


class HttpOutput(_Section):
    """A receiver of POST requests, in the order of the reports."""

    type: Literal["http"]
    url: Url
    """Without credentials."""
    token_file: FilePath | None = None
    """Holds what is sent as a bearer token; read anew for each report."""
    ca_file: FilePath | None = None
    """Certificates that a server's must be signed by, in PEM; none for those of the system."""
    timeout: SomeSeconds = _default("10s")
    spool: Spool | None = None
    """Without one, what is not taken within the tries of one report is dropped, and counted."""


Output = Annotated[FileOutput | StdoutOutput | TextfileOutput | HttpOutput, Field(discriminator="type")]


class Report(_Section):
    """One report: when it is made, of what, how it looks, and where it goes."""

    name: str = Field(pattern=_NAME)
    """Of lower-case letters, digits, `-` and `_`, at most 63."""
    every: WholeSeconds | None = None
    """From start to start, on multiples of itself since the epoch; this or `cron`."""
    cron: Cron | None = Field(None, validate_default=True)
    """Five fields as of cron(8), or six with seconds."""
    timezone: Timezone | None = None
    """A name of the tz database for `cron`; none for UTC."""
    jitter: Seconds = _default("0s")
    """Each one is later by up to so much, the same for each on one host."""
    select: Select = Select()
    view: View = View.SOCKETS
    """What the rows are."""
    group_by: tuple[str, ...] = Field((), validate_default=True)
    """Columns: rows of one group stand together; of view `top`, what is counted by."""
    columns: tuple[str, ...] = ()
    """Those of tables and CSV, as with --columns of scan."""
    sort_by: tuple[str, ...] = ()
    """Columns, the foremost first; -NAME descends."""
    limit: Limit | None = None
    """Of view `top`: how many groups are listed, the largest."""
    format: OutputFormat = OutputFormat.JSONL
    """As with --output of scan."""
    diff: Switch = False
    """Only what is new or gone since the report before, as changes."""
    labels: Switch = False
    """Whether labels of containers and pods are told."""
    cmdline: Cmdline = Field(Cmdline.NONE, validate_default=True)
    """Of the owners of rows: `argv0` tells their first arguments, `full` all, without the secrets that can be told."""
    outputs: tuple[Output, ...] = (StdoutOutput(type="stdout"),)
    """Where it goes."""

    @field_validator("cron")
    @classmethod
    def _check_cron(cls, cron: str | None, info: ValidationInfo) -> str | None:
        if "every" in info.data and (info.data["every"] is None) is (cron is None):
            raise ValueError("expected either every or cron" + ("" if cron is None else ", not both"))
        return cron

    @field_validator("view")
    @classmethod
    def _check_view(cls, view: View, info: ValidationInfo) -> View:
        select = info.data.get("select")
        if view is View.CONTAINERS and select is not None and (named := select.list_of_sockets()):
            raise ValueError(f"containers are selected by {', '.join(_OF_CONTAINERS)}, not by {named[0]}")
        return view

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, timezone: str | None, info: ValidationInfo) -> str | None:
        if timezone is not None and "cron" in info.data and info.data["cron"] is None:
            raise ValueError("expected beside cron only")
        return timezone

    @field_validator("jitter")
    @classmethod
    def _check_jitter(cls, jitter: float, info: ValidationInfo) -> float:
        every = info.data.get("every")
        if every is not None and jitter >= every:
            raise ValueError(f"expected less than every, {tell_seconds(every)}")
        return jitter

    @field_validator("group_by")
    @classmethod
    def _check_group_by(cls, group_by: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("view") is View.TOP and not group_by:
            raise ValueError("view top needs group_by: the columns to count by")
        return group_by

    @field_validator("limit")
    @classmethod
    def _check_limit(cls, limit: int | None, info: ValidationInfo) -> int | None:
        if limit is not None and info.data.get("view", View.TOP) is not View.TOP:
            raise ValueError("expected with view top only")
        return limit

    @field_validator("diff")
    @classmethod
    def _check_diff(cls, diff: bool, info: ValidationInfo) -> bool:
        if diff and info.data.get("view") is View.TOP:
            raise ValueError("expected with other views than top: its counts are no rows that come and go")
        return diff

    @field_validator("cmdline")
    @classmethod
    def _check_cmdline(cls, cmdline: Cmdline, info: ValidationInfo) -> Cmdline:
        seen = info.data
        names = [name.removeprefix("-") for key in ("group_by", "columns", "sort_by") for name in seen.get(key, ())]
        if cmdline is Cmdline.NONE and _ARGV in names:
            raise ValueError(f"column {_ARGV} needs cmdline: argv0 or full")
        if cmdline is not Cmdline.NONE and (seen.get("diff") or seen.get("view") in _WITHOUT_OWNERS):
            raise ValueError("expected with rows that are sockets only")
        return cmdline

    @field_validator("outputs")
    @classmethod
    def _check_outputs(cls, outputs: tuple[T, ...]) -> tuple[T, ...]:
        if not outputs:
            raise ValueError("expected at least one")
        return outputs


class Http(_Section):
    """The HTTP endpoint."""

    listen: ListenText
    """ADDRESS:PORT, an IPv6 address in brackets, as any may be; port 0 takes any that is free."""
    token_file: FilePath | None = Field(None, validate_default=True)
    """Holds the bearer token that clients send; needed to listen beyond loopback and the pod's own address."""

    @field_validator("token_file")
    @classmethod
    def _check_token_file(cls, token_file: str | None, info: ValidationInfo) -> str | None:
        if token_file is None and "listen" in info.data:
            listen = parse_listen(info.data["listen"])
            if not listen.is_loopback and str(listen.address) != _outside(info).pod_address:
                raise ValueError(
                    f"token_file is needed to listen on {listen.address}, which others than this host reach"
                )
        return token_file


class History(_Section):
    """What is remembered on disk."""

    path: FilePath
    """An absolute file."""
    max_age: SomeSeconds = _default("7d")
    max_size: Bytes = _default("256MiB")


class Config(_Section):
    """A whole config."""

    version: Version
    interval: WholeSeconds = _default("30s")
    """The longest time between two passes."""
    limits: Limits = Limits()
    engine: EngineName = EngineName.AUTO
    """As --engine of scan."""
    runtime: str | None = None
    """As --runtime of scan."""
    reports: tuple[Report, ...] = ()
    http: Http | None = None
    history: History | None = None
    socket: FilePath | None = "/run/nsagent/agent.sock"
    """The unix socket for `nsagent status` and `scan --agent`; null for none."""
    events: Literal["auto", "off"] = "auto"
    """Whether the kernel is asked to tell of processes as they come and go, as far as it does."""
    log: Literal["line", "json"] = "line"
    """How lines of the log look."""

    @field_validator("runtime")
    @classmethod
    def _check_runtime(cls, runtime: str | None, info: ValidationInfo) -> str | None:
        if runtime is not None:
            try:
                _outside(info).check_runtime(runtime)
            except UsageError as err:
                raise ValueError(str(err).removeprefix("--runtime ")) from err
        return runtime


def _outside(info: ValidationInfo) -> Outside:
    return info.context if isinstance(info.context, Outside) else Outside()
