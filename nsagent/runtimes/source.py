"""What can be asked for names: the one small protocol of all sources, and what some of them can do beside."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from nsagent.errors import Reason
from nsagent.model.container import Container
from nsagent.model.ids import Pid


class Failure(NamedTuple):
    """Why a source told nothing; `detail` is that in one line for people, `errno` a name as ENOENT."""

    reason: Reason
    detail: str
    errno: str | None = None


class LeftOut(NamedTuple):
    """A record that was left out of an answer, so that it costs no other one; `id` is its container's, where known."""

    reason: Reason
    id: str | None = None


class Source(Protocol):
    """One runtime; `subject` names it in gaps, as in `docker (unix:///run/docker.sock)`.

    `named`: somebody asked for it. One that was merely found and serves something else is no gap.
    """

    @property
    def subject(self) -> str: ...

    @property
    def named(self) -> bool: ...

    def list_containers(self) -> tuple[Container, ...]:
        """What it knows. Raises RuntimeUnavailable, and nothing else."""

    def abandon(self) -> None:
        """Called from another thread: end list_containers, which nobody waits for any longer."""


MakeSources = Callable[[], Sequence[Source]]
"""Makes the sources of one group; what they need is loaded then."""


class Sources(NamedTuple):
    """Which sources are asked: `at_once` in every pass, those of the others as Runtimes says."""

    at_once: Sequence[Source]
    groups: Sequence[MakeSources]
    details: MakeSources | None


@runtime_checkable
class Preparable(Protocol):
    """A source that loads a client before it asks, which is no time of its runtime's."""

    def prepare(self) -> None:
        """Reach the runtime and load the client. Raises RuntimeUnavailable, and nothing else."""


@runtime_checkable
class Versioned(Protocol):
    """A source whose runtime says what it is, as in `containerd 1.6.20`; None before it answered."""

    @property
    def version(self) -> str | None: ...


@runtime_checkable
class Sparing(Protocol):
    """A source that leaves out what is wrong, rather than everything."""

    @property
    def left_out(self) -> Sequence[LeftOut]:
        """Of its last answer."""


@runtime_checkable
class Identifiable(Protocol):
    """A source that can tell a runtime from the same runtime started anew."""

    def identify(self) -> object | None:
        """What is another after a start; None where that cannot be told."""


@runtime_checkable
class Owned(Protocol):
    """A source with a socket."""

    @property
    def peer_pid(self) -> Pid | None:
        """Who listened there when it was asked last; None where that cannot be told."""

    def read_owner(self) -> int | None:
        """The uid that it belonged to then; None where that cannot be told."""


@runtime_checkable
class Followable(Protocol):
    """A source that has to ask less while it follows what happens in its runtime."""

    def follow(self, clock: Callable[[], float]) -> None: ...

    def unfollow(self) -> None: ...
