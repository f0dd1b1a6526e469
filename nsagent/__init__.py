"""Which process, container and pod holds each socket, in every network namespace of a Linux node.

What is named in `__all__` is for other programs (docs/library.md); each is loaded when it is first asked for.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # To import typing takes most of the time before interrupts are held, which would be a traceback.
    from nsagent.errors import EventsUnavailable, NsagentError, ProcessGone, UsageError
    from nsagent.events.losses import Losses
    from nsagent.events.process_events import ProcessEvents
    from nsagent.lookup.monitored import Monitored
    from nsagent.lookup.records import End, Holder, Resolution
    from nsagent.lookup.resolver import Limits, Resolver
    from nsagent.lookup.sight import HostLooks
    from nsagent.model.container import Container, Pod
    from nsagent.model.process_event import EventEngine, ExitStatus, Ids, ProcessEvent, ProcessEventKind
    from nsagent.model.snapshot import Coverage, OwnedSocket, Snapshot
    from nsagent.runtimes.discover import discover_runtimes
    from nsagent.scan.request import SnapshotRequest
    from nsagent.scan.take import Taken, take_snapshot

__version__ = "0.2.0"

__all__ = [
    "Container",
    "Coverage",
    "End",
    "EventEngine",
    "EventsUnavailable",
    "ExitStatus",
    "Holder",
    "HostLooks",
    "Ids",
    "Limits",
    "Losses",
    "Monitored",
    "NsagentError",
    "OwnedSocket",
    "Pod",
    "ProcessEvent",
    "ProcessEventKind",
    "ProcessEvents",
    "ProcessGone",
    "Resolution",
    "Resolver",
    "Snapshot",
    "SnapshotRequest",
    "Taken",
    "UsageError",
    "discover_runtimes",
    "take_snapshot",
]

_PLACES = {
    "errors": ("EventsUnavailable", "NsagentError", "ProcessGone", "UsageError"),
    "events.losses": ("Losses",),
    "events.process_events": ("ProcessEvents",),
    "lookup.monitored": ("Monitored",),
    "lookup.records": ("End", "Holder", "Resolution"),
    "lookup.resolver": ("Limits", "Resolver"),
    "lookup.sight": ("HostLooks",),
    "model.container": ("Container", "Pod"),
    "model.process_event": ("EventEngine", "ExitStatus", "Ids", "ProcessEvent", "ProcessEventKind"),
    "model.snapshot": ("Coverage", "OwnedSocket", "Snapshot"),
    "runtimes.discover": ("discover_runtimes",),
    "scan.request": ("SnapshotRequest",),
    "scan.take": ("Taken", "take_snapshot"),
}
"""The module of each name."""


def __getattr__(name: str) -> object:
    for module, names in _PLACES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(f"nsagent.{module}"), name)
    raise AttributeError(f"module 'nsagent' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
