"""The JSON text of socket rows: the one way to write a socket, for json and for jsonl.

A row is the text that json.dumps gives for the same dict, put together from parts: whatever
many rows share (a process, a kind of row, an address, a container) is written once per call.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from nsagent.model.container import Container, Pod
from nsagent.model.facts import HeldBy
from nsagent.model.ids import ContainerId, Fd
from nsagent.model.net import Endpoint, Family, Protocol, SocketState, TcpInfo, Timer
from nsagent.model.process import CommandLine, Process, ProcessKey
from nsagent.model.snapshot import Attribution, Confidence, Flag, OwnedSocket, Owner, Verdict
from nsagent.report.accept_queues import WITH_ACCEPT_QUEUE, AcceptQueues
from nsagent.report.chunks import chunks
from nsagent.report.json_text import dump, quote
from nsagent.report.memo import Memo
from nsagent.report.records import container_record

_BOOLEAN: Final = {None: "null", False: "false", True: "true"}
_FD: Final = HeldBy.FD
_NO_QUEUE = '0, "tx_queue_bytes": 0, "accept_queue": null'
_USUAL_HOLDING = ', "tid": null, "held_by": "fd"}'
_CUT = ', "argv_cut": true'
_TCP_INFO: Final = "{" + ", ".join(f'"{name}": %s' for name in TcpInfo._fields) + "}"

_Kind = tuple[Protocol, Family, bool, SocketState]
_Meaning = tuple[ContainerId | None, Attribution, Confidence, tuple[Flag, ...], Verdict | None, Pod | None]


class SocketRows:
    """Writes rows; with `containers` (by id) each row also has its `container`, or null, at its end.

    `opening` is what stands between the brace and the first key. `accept_queues` are those of the
    containers; with `command_lines` each owner has its `argv`. It lives no longer than one rendering of one
    snapshot, whose processes it knows by their identity.
    """

    def __init__(
        self,
        opening: str = "",
        containers: dict[ContainerId, Container] | None = None,
        accept_queues: AcceptQueues | None = None,
        command_lines: Mapping[ProcessKey, CommandLine] | None = None,
    ) -> None:
        self._opening = f'{{{opening}"netns": '
        texts = None if containers is None else _container_texts(containers, accept_queues or {})
        # By `mptcp` first: that is cheaper than to make a longer key of each row.
        self._kinds: dict[bool | None, Memo[_Kind, tuple[bool, str]]] = {
            mptcp: Memo(partial(_kind_text, mptcp)) for mptcp in _BOOLEAN
        }
        self._addresses: Memo[str, str] = Memo(lambda address: f'{{"address": {quote(address)}, "port": ')
        # No method of its own: with what refers to itself all of this would stay until garbage is looked for.
        self._meanings: Memo[_Meaning, str] = Memo(partial(_meaning_text, texts))
        self._processes: dict[int, tuple[str, str]] = {}
        self._command_lines = command_lines

    def chunks(self, sockets: Sequence[OwnedSocket]) -> Iterator[list[str]]:
        """The rows in order, without line ends, in lists of some hundred."""
        return map(self._rows, chunks(sockets))

    def _rows(self, sockets: list[OwnedSocket]) -> list[str]:
        # Once per socket, 2 to 3 us, two fifths of json.dumps: hence one f-string over memos.
        opening, kinds, addresses, meanings = self._opening, self._kinds, self._addresses, self._meanings
        owner_text = self._owner_text
        rows: list[str] = []
        for socket in sockets:
            netns, row, interface, owners, container_id, attribution, confidence, flags, verdict, pod = socket
            (
                protocol, family, mapped, state, local, remote, _, inode, cookie, uid,
                rx_queue, tx_queue, cgroup_id, v6only, mptcp, info, timer, _options,
            ) = row  # fmt: skip
            listener, kind = kinds[mptcp][protocol, family, mapped, state]
            if not listener and rx_queue == 0 and tx_queue == 0:
                queues = _NO_QUEUE
            else:
                queues = _queues_text(rx_queue, tx_queue, listener=listener)
            rows.append(
                f"{opening}{abs(netns)}{kind}"
                f"{addresses[local.address]}{local.port if local.raw_address is None else _port_and_raw(local)}"
                f'}}, "remote": '
                f"{addresses[remote.address]}{remote.port if remote.raw_address is None else _port_and_raw(remote)}"
                f'}}, "interface": {"null" if interface is None else quote(interface)}, "inode": {inode or "null"}'
                f', "cookie": {"null" if cookie is None else cookie}, "uid": {"null" if uid is None else uid}'
                f', "rx_queue_bytes": {queues}, "v6only": {_BOOLEAN[v6only]}'
                f', "cgroup_id": {"null" if cgroup_id is None else cgroup_id}'
                f', "tcp_info": {"null" if info is None else _tcp_info_text(info)}'
                f', "timer": {"null" if timer is None else _timer_text(timer)}, "owners": ['
                f"{owner_text(owners[0]) if len(owners) == 1 else ', '.join(map(owner_text, owners))}"
                f"{meanings[container_id, attribution, confidence, flags, verdict, pod]}"
            )
        return rows

    def _owner_text(self, owner: Owner) -> str:
        process, fds, tid, held_by = owner
        before, after = self._processes.get(id(process)) or self._remember(process)
        if tid is not None or held_by is not _FD:
            after = f'{after.removesuffix(_USUAL_HOLDING)}, "tid": {dump(tid)}, "held_by": {quote(held_by)}}}'
        return f"{before}{fds[0] if len(fds) == 1 else _fds_text(fds)}{after}"

    def _remember(self, process: Process) -> tuple[str, str]:
        before = f'{{"pid": {process.pid}, "fds": ['
        after = (
            f'], "comm": {quote(process.comm)}, "start_ticks": {process.start_ticks}'
            f', "netns": {"null" if process.netns is None else abs(process.netns)}'
            f', "container_id": {quote(process.container_id)}, "unit": {quote(process.unit)}{_chain_text(process)}'
            f"{self._argv_text(process)}{_USUAL_HOLDING}"
        )
        text = self._processes[id(process)] = before, after
        return text

    def _argv_text(self, process: Process) -> str:
        """There only where command lines were asked for; null where there is none."""
        if self._command_lines is None:
            return ""
        line = self._command_lines.get(process.key)
        return ', "argv": null' if line is None else f', "argv": {dump(line.argv)}{_CUT if line.cut else ""}'


def _meaning_text(containers: Memo[ContainerId | None, str] | None, meaning: _Meaning) -> str:
    container_id, attribution, confidence, flags, verdict, pod = meaning
    told = None if pod is None else {"name": pod.name, "namespace": pod.kube_namespace, "uid": pod.uid}
    text = (
        f'], "container_id": {quote(container_id)}, "attribution": {quote(attribution)}'
        f', "confidence": {quote(confidence)}, "flags": {dump(flags)}, "verdict": {_verdict_text(verdict)}'
        f', "pod": {dump(told)}'
    )
    return f"{text}}}" if containers is None else f'{text}, "container": {containers[container_id]}}}'


def _queues_text(rx_queue: int | None, tx_queue: int | None, *, listener: bool) -> str:
    received = "null" if rx_queue is None else rx_queue
    sent = "null" if tx_queue is None else tx_queue
    if listener:
        return f'null, "tx_queue_bytes": null, "accept_queue": {{"used": {received}, "limit": {sent}}}'
    return f'{received}, "tx_queue_bytes": {sent}, "accept_queue": null'


def _kind_text(mptcp: bool | None, kind: _Kind) -> tuple[bool, str]:
    protocol, family, mapped, state = kind
    text = (
        f', "protocol": {quote(protocol)}, "family": {quote(family)}, "mapped": {_BOOLEAN[mapped]}'
        f', "mptcp": {_BOOLEAN[mptcp]}, "state": {quote(state)}, "local": '
    )
    return state is SocketState.LISTEN and protocol in WITH_ACCEPT_QUEUE, text


def _tcp_info_text(tcp_info: TcpInfo) -> str:
    return _TCP_INFO % tuple(["null" if each is None else each for each in tcp_info])


def _timer_text(timer: Timer) -> str:
    kind, expires_ms, retransmits = timer
    return f'{{"kind": "{kind}", "expires_seconds": {expires_ms / 1000}, "retransmits": {retransmits}}}'


def _container_texts(
    containers: dict[ContainerId, Container], accept_queues: AcceptQueues
) -> Memo[ContainerId | None, str]:
    def make(container_id: ContainerId | None) -> str:
        container = None if container_id is None else containers.get(container_id)
        return "null" if container is None else dump(container_record(container, accept_queues.get(container.id)))

    return Memo(make)


def _port_and_raw(endpoint: Endpoint) -> str:
    return f'{endpoint.port}, "raw_address": {quote(endpoint.raw_address)}'


def _fds_text(fds: tuple[Fd, ...]) -> str:
    return ", ".join(map(str, fds))


def _chain_text(process: Process) -> str:
    """The other containers on its cgroup path: there only where there are any."""
    chain = (*process.around, *process.inner)
    return f', "chain": {dump(chain)}' if chain else ""


def _verdict_text(verdict: Verdict | None) -> str:
    if verdict is None:
        return "null"
    charged = verdict.charged_to
    return dump(
        {
            "kind": verdict.kind,
            "charged_to": None if charged is None else {"pid": charged.pid, "container_id": charged.container_id},
            "reason": verdict.reason,
        }
    )
