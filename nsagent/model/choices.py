"""Names that users type and that config, query and cli share."""

from enum import StrEnum


class OutputFormat(StrEnum):
    """The values of `-o`."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"
    CSV = "csv"
    MARKDOWN = "markdown"
    HTML = "html"
    PROM = "prom"
    NAME = "name"


class InspectFormat(StrEnum):
    """The values of `-o` of `nsagent inspect`."""

    TABLE = "table"
    TREE = "tree"
    JSON = "json"
    YAML = "yaml"


class View(StrEnum):
    """What the rows of an answer are."""

    SOCKETS = "sockets"
    LISTENERS = "listeners"
    CONNECTIONS = "connections"
    CONTAINERS = "containers"
    NETNS = "netns"
    CHANGES = "changes"
    EVENTS = "events"
    TOP = "top"


class EngineName(StrEnum):
    """How the tables are read; `auto` takes the best that works, per netns."""

    AUTO = "auto"
    SOCK_DIAG = "sock_diag"
    PROC = "proc"


class OwnersWanted(StrEnum):
    """Whom a row is attributed to: to the processes that hold it, or to the container that made it, which is cheap."""

    PID = "pid"
    CONTAINER = "container"


class Cmdline(StrEnum):
    """How much of the command line of a process is told: its first argument, or all of them."""

    NONE = "none"
    ARGV0 = "argv0"
    FULL = "full"


class ColourWhen(StrEnum):
    """The values of `--color`."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"
