"""Events by hand, with whose they are."""

from nsagent.events.identities import NOBODY
from nsagent.model.container import Pod
from nsagent.model.ids import ContainerId, Pid, PodUid
from nsagent.model.named_event import Identity, IdentitySource, NamedProcessEvent
from nsagent.model.process_event import EventEngine, ExitStatus, ProcessEvent, ProcessEventKind

WEB_POD = Pod(PodUid("11-22"), "web-7d9c", "shop")
WEB = Identity(IdentitySource.LOOK, 100, "httpd", 33, 4026532500, ContainerId("a" * 64), unit="containerd.service")
AT = 1767323045.678
PID, PARENT = Pid(10), Pid(4)


def event(kind: ProcessEventKind, **fields: object) -> ProcessEvent:
    """Of PID, of a fork of its PARENT."""
    if kind is ProcessEventKind.FORK:
        return ProcessEvent(kind, PARENT, 0, EventEngine.CONNECTOR, child=PID)._replace(**fields)  # type: ignore[arg-type]
    return ProcessEvent(kind, PID, 0, EventEngine.CONNECTOR)._replace(**fields)  # type: ignore[arg-type]


def in_web(kind: ProcessEventKind, **fields: object) -> NamedProcessEvent:
    """One in the container web of a pod."""
    return NamedProcessEvent(AT, event(kind, **fields), WEB, "web", "shop/web:1", WEB_POD)


def outside(kind: ProcessEventKind, identity: Identity = NOBODY) -> NamedProcessEvent:
    """One in no container."""
    return NamedProcessEvent(AT, event(kind), identity)


KILLED = ExitStatus(0, 9, core_dumped=True)
