"""Who shares: those who can be kept apart by what they cannot choose themselves."""

import pytest

from nsagent.identity.cgroup_path import CgroupParser
from nsagent.identity.share import name_share

WEB, INNER = "c0de" * 16, "beef" * 16


@pytest.mark.parametrize(
    ("cgroup", "uid", "share"),
    [
        ("0::/\n", 0, "uid 0"),
        ("0::/system.slice/ssh.service\n", 33, "uid 33"),
        (f"0::/docker/{WEB}\n", 0, f"/docker/{WEB}"),
        (f"0::/docker/{WEB}\n", 65534, f"/docker/{WEB}"),
        (f"0::/docker/{WEB}/a/b\n", 0, f"/docker/{WEB}"),
        (f"0::/docker/{WEB}/docker/{INNER}\n", 0, f"/docker/{WEB}"),
        (f"4:memory:/docker/{WEB}\n0::/\n", 0, f"/docker/{WEB}"),
        (f"0::/../../docker/{WEB}/docker/{INNER}\n", 0, f"/docker/{WEB}"),
        ("0::/lxc.payload.web/init.scope\n", 0, "/lxc.payload.web"),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", 1000, "/user.slice/user-1000.slice"),
        (f"0::/user.slice/user-1000.slice/user@1000.service/docker-{WEB}.scope\n", 99, "/user.slice/user-1000.slice"),
        ("0::/user.slice/user-1000.slice\n", 101234, "/user.slice/user-1000.slice"),
        (f"0::/../../../user.slice/user-1000.slice/a/docker-{WEB}.scope\n", 1000, "/user.slice/user-1000.slice"),
        (f"0::/docker/{WEB}/user.slice/user-7.slice\n", 0, f"/docker/{WEB}"),
        (f"0::/docker/{WEB}/x:/user.slice/user-7.slice\n", 0, f"/docker/{WEB}"),
        (f"0::/docker/{WEB}/4:x:/user.slice/user-7.slice\n", 0, f"/docker/{WEB}"),
        (f"0::/../../docker/{WEB}/0::/../user.slice/user-7.slice\n", 0, f"/docker/{WEB}"),
        ("0::/system.slice/shop.service/x:/user.slice/user-7.slice/a\n", 33, "uid 33"),
        (
            "4:cpu,cpuacct:/\n1:name=systemd:/user.slice/user-7.slice/session-3.scope\n0::/\n",
            7,
            "/user.slice/user-7.slice",
        ),
        ("0::/user.slice\n", 7, "uid 7"),
        ("", 7, "uid 7"),
    ],
)
def test_a_user_and_the_outermost_container_share_whatever_they_make_below(cgroup: str, uid: int, share: str) -> None:
    assert name_share(cgroup, uid, CgroupParser()) == share


def test_a_service_that_calls_a_cgroup_by_the_id_of_a_container_uses_nothing_of_its_share_up() -> None:
    parser = CgroupParser()
    forged = f"0::/system.slice/shop.service/docker-{WEB}.scope\n"
    assert name_share(forged, 33, parser) != name_share(f"0::/docker/{WEB}\n", 0, parser)
