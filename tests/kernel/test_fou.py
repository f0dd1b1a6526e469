"""Foo over UDP on the live kernel; tests/vm looks at real ports."""

from pathlib import Path

from nsagent.kernel.fou import FouPorts
from nsagent.kernel.netlink import make_buffer

MODULE = Path("/sys/module/fou")


def test_asking_for_ports_does_not_load_fou_and_where_it_is_not_there_are_none() -> None:
    loaded = MODULE.exists()
    with FouPorts() as ports:
        ends = ports.list_ends(make_buffer())
    assert MODULE.exists() == loaded
    assert loaded or ends == []
