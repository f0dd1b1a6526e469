"""Link targets of the form TYPE:[INODE]."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.kernel.formats.fd_link import parse_inode_link


@given(st.integers(0, (1 << 64) - 1))
def test_any_inode_comes_back(inode: int) -> None:
    assert parse_inode_link(f"socket:[{inode}]", "socket") == inode


def test_a_netns_link_is_read_by_its_kind() -> None:
    assert parse_inode_link("net:[4026531840]", "net") == 4026531840


@pytest.mark.parametrize(
    "target",
    [
        "",
        "socket:[]",
        "socket:[x]",
        "socket:[7",
        "socket:7]",
        "socket:[7]x",
        "socket:[7] (deleted)",
        "socket:[-7]",
        "socket:[+7]",
        "socket:[7_0]",
        "socket:[ 7]",
        "socket:[\u0667]",
        "socket:[\u00b2]",
        "[0000]:7",
        "pipe:[7]",
        "Socket:[7]",
        "/tmp/socket:[7]",
        "socket:[" + "1" * 21 + "]",
        "socket:[" + "1" * 5000 + "]",
    ],
)
def test_any_other_target_is_none(target: str) -> None:
    assert parse_inode_link(target, "socket") is None
