"""An odd process in a closed bed, and what a scan says of it in the notation of odd_matrix.py."""

from collections.abc import Mapping
from typing import NamedTuple

from tests.live.closed_bed import ClosedBed, read_report
from tests.live.nsagent_cli import Scan, Socket, verdict_kind
from tests.live.odd_matrix import Cell

MOUNT_POINT = "/run/netns/kept"


class MadeSocket(NamedTuple):
    """A socket that programs/odd.c has made."""

    inode: int
    port: int
    remote_port: int


class OddOne:
    """What programs/odd.c says that it made: names to numbers."""

    def __init__(self, bed: ClosedBed, program: str, odd: str, case: str) -> None:
        self.processes: dict[str, int] = {}
        self.threads: dict[str, int] = {}
        self.netns: dict[str, int] = {"M": bed.host_netns}
        self.sockets: dict[str, MadeSocket] = {}
        for kind, name, *numbers in read_report(bed.start(program, odd, case, MOUNT_POINT), "ready"):
            values = [int(number) for number in numbers]
            if kind == "socket":
                self.sockets[name] = MadeSocket(*values)
            else:
                {"process": self.processes, "thread": self.threads, "netns": self.netns}[kind][name] = values[0]

    def describe(self, scan: Scan) -> Cell:
        """All rows of the scan, and the netns A and B, in the notation of the matrix."""
        letters = {number: letter for letter, number in self.netns.items()}
        roles = {pid: role for role, pid in self.processes.items()}
        rows = [self._describe_row(socket, letters, roles) for socket in scan.sockets]
        netns = [
            f"{letters[entry['inode']]} {','.join(sorted(entry['found_by']))}={entry['processes']}"
            for entry in scan.netns
            if letters.get(entry["inode"], "M") != "M"
        ]
        return Cell(tuple(sorted(rows)), tuple(sorted(netns)))

    def _describe_row(self, row: Socket, letters: Mapping[int, str], roles: Mapping[int, str]) -> str:
        threads = {tid: f":{name}" for name, tid in self.threads.items()}
        owners = sorted(
            f"{roles.get(owner['pid'], owner['pid'])}{threads.get(owner['tid'], '')}"
            f"{'' if owner['held_by'] == 'fd' else '~' + owner['held_by']}/{letters.get(owner['netns'], '?')}"
            for owner in row["owners"]
        )
        verdict = []
        if row["verdict"] is not None:
            charged = row["verdict"]["charged_to"]
            verdict = [f"{verdict_kind(row)}{'->' + str(roles.get(charged['pid'])) if charged else ''}"]
        return " ".join([f"{self._name(row)}@{letters.get(row['netns'], '?')}", *owners, *verdict, *row["flags"]])

    def _name(self, row: Socket) -> str:
        """L or K by inode; W is the other end of K, which has none."""
        for name, made in self.sockets.items():
            if row["inode"] == made.inode:
                return name
            if row["inode"] is None and row["remote"]["port"] == made.port and made.remote_port:
                return "W"
        return f"{row['protocol']}:{row['state']}:{row['local']['port']}:{row['inode']}"
