"""Sockets that share a port in a real netns: the kernel gives what comes to those that are told, and to no other.

NSAGENT_TEST_SEED repeats the sets that a failure names.
"""

import json
import os
import subprocess
import sys
from random import Random
from typing import Any, NamedTuple

import pytest

from nsagent.model.net import Protocol
from nsagent.query.endpoint import AskedEnd, make_end
from nsagent.query.socket_index import Held, SocketIndex
from tests.live import receiver_program
from tests.live.capabilities import choose_seed, trials
from tests.live.leftovers import marked_environment
from tests.live.look import read_snapshot
from tests.live.netns_bed import MadeNetns, NetnsBed, run_ip

SETS = trials(default=300, full=6000)

IPV4, IPV6, LINK_LOCAL, FAR4, FAR6 = "10.66.0.1", "fd66::1", "fe80::66:1", "10.66.0.2", "fd66::2"

PROBES = [
    *(("near", address, "lo") for address in ("127.0.0.1", "127.7.7.7", "::1")),
    *(("near", address, "near") for address in (IPV4, IPV6)),
    *(("far", address, "near") for address in (IPV4, IPV6, f"{LINK_LOCAL}%far")),
]
"""From where something is sent, to which address, and by which interface it comes in: that which has the address, also
where it never leaves the netns.
"""

Wanted = dict[str, Any]


class Told(NamedTuple):
    """What the kernel did with the sockets of one set."""

    wanted: list[Wanted]
    inodes: list[int | None]
    got: list[list[int | None]]


def choose_socket(random: Random, protocol: str, reuse: str | None) -> Wanted:
    address, device, v6only, remote = random.choice(
        [
            *((each, random.choice([None, None, "lo", "near"]), False, None) for each in ("0.0.0.0", "::") * 2),
            ("::", random.choice([None, "lo", "near"]), True, None),
            ("::ffff:0.0.0.0", None, False, None),
            *((each, random.choice([None, "lo"]), False, None) for each in ("127.0.0.1", "::1")),
            *((each, random.choice([None, None, "near"]), False, None) for each in (IPV4, IPV6)),
            (f"::ffff:{IPV4}", None, False, None),
            (f"{LINK_LOCAL}%near", None, False, None),
            *([("0.0.0.0", None, False, FAR4), ("::", None, False, FAR6)] if protocol == "udp" else []),
        ]
    )
    wanted = {"address": address, "device": device, "v6only": v6only, "remote": remote}
    return {**wanted, "protocol": protocol, "reuse": reuse}


def choose_set(random: Random) -> list[Wanted]:
    protocol = random.choice(["tcp", "udp"])
    reuse = random.choice([None, "addr", "port"])
    return [choose_socket(random, protocol, reuse) for _ in range(random.randint(1, 5))]


def join(near: MadeNetns, far: MadeNetns) -> None:
    """A veth pair with addresses that are valid at once, between the two."""
    run_ip("-n", str(near.name), "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(far.name))
    ends = ((near, "near", (IPV4, IPV6, LINK_LOCAL)), (far, "far", (FAR4, FAR6, "fe80::66:2")))
    for netns, name, addresses in ends:
        run_ip("-n", str(netns.name), "link", "set", name, "addrgenmode", "none")
        for link in ("lo", name):
            run_ip("-n", str(netns.name), "link", "set", link, "up")
        for address in addresses:
            flags = ("nodad",) if ":" in address else ()
            length = 64 if ":" in address else 24
            run_ip("-n", str(netns.name), "address", "add", f"{address}/{length}", "dev", name, *flags)


def explain(told: Told, netns: MadeNetns, index: SocketIndex, port: int) -> list[str]:
    """How the kernel differs from what is told of a set, none if it does not."""
    protocol, numbers = Protocol(told.wanted[0]["protocol"]), frozenset((netns.inode,))
    wrong: list[str] = []
    for (_, address, interface), got in zip(PROBES, told.got, strict=True):
        end = make_end(address.partition("%")[0], port)

        def hold(end: AskedEnd) -> Held:
            return index.hold(protocol, end, netns=numbers)

        held = hold(end._replace(interface=interface))
        first = {one.row.inode for one in held.waiting}
        wide = {one.row.inode for one in hold(end).waiting}
        shadowed = {one.row.inode for one in hold(end).shadowed}
        if set(got) - set(first or [None]) or set(got) & shadowed or not first <= wide:
            wrong.append(f"{address} by {interface}: told {first}, without it {wide}, not {shadowed}; but {got}")
        if len(first) > 1 and told.wanted[0]["reuse"] is None:
            wrong.append(f"{address} by {interface}: more than one of {first}, which share nothing")
    return [f"port {port}: {line}; {told.wanted} {told.inodes}" for line in wrong]


def test_the_kernel_gives_what_comes_to_those_that_are_told(bed: NetnsBed, token: str) -> None:
    seed = choose_seed(16)
    print(f"NSAGENT_TEST_SEED={seed}")
    random = Random(seed)
    sets = [choose_set(random) for _ in range(SETS)]
    near, far = bed.named(), bed.named()
    join(near, far)
    program = os.fspath(receiver_program.__file__)
    with subprocess.Popen(
        [sys.executable, "-I", "-S", program, near.path, far.path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=marked_environment(token),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"sets": sets, "probes": PROBES}) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline() or pytest.fail("the program gave no answer"))
        index = SocketIndex(read_snapshot(near))
    tolds = [Told(*each) for each in zip(sets, answer["inodes"], answer["got"], strict=True)]
    wrong = [
        line for number, told in enumerate(tolds)
        for line in explain(told, near, index, receiver_program.FIRST_PORT + number)
    ]  # fmt: skip
    assert wrong == [], "\n".join(wrong)
    received = {inode for told in tolds for got in told.got for inode in got}
    assert len(received) > SETS  # Else this has tried nothing.
