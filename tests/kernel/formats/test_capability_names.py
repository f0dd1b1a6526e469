"""Masks of capabilities."""

from nsagent.kernel.formats.capability_names import name_capabilities


def test_capabilities_are_named_by_number_and_new_ones_by_the_number_alone() -> None:
    assert name_capabilities(1 << 0 | 1 << 12 | 1 << 21 | 1 << 40) == (
        "chown",
        "net_admin",
        "sys_admin",
        "checkpoint_restore",
    )
    assert name_capabilities(1 << 41 | 1 << 63) == ("cap_41", "cap_63")
    assert name_capabilities(0) == ()
