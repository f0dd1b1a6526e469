"""Foo over UDP on the live kernel."""

from pathlib import Path

import pytest

from nsagent.kernel.fou import FouPorts
from nsagent.kernel.netlink import make_buffer


def test_where_fou_is_not_loaded_there_are_no_ports_and_asking_does_not_load_it() -> None:
    if Path("/sys/module/fou").exists():
        pytest.skip("fou is loaded: tests/vm looks at its ports")
    with FouPorts() as ports:
        assert ports.list_ends(make_buffer()) == []
    assert not Path("/sys/module/fou").exists()
