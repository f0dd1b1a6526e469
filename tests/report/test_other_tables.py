"""The tables of netns and of containers, and names."""

from collections.abc import Iterable

from nsagent.model.facts import Interface
from nsagent.model.snapshot import Snapshot
from nsagent.report.containers_table import CONTAINER_COLUMNS
from nsagent.report.name import render_container_names, render_netns_names, render_socket_names
from nsagent.report.netns_table import NETNS_COLUMNS, NETNS_WIDE
from tests.report.rendered import render_containers_csv, render_containers_table, render_netns_table

NETNS_TABLE = """
NETNS           NAMES   PROCESSES  SOCKETS  CONTAINERS        PODS           ENGINE     FOUND-BY
4026531840      host    200        2        -                 -              sock_diag  process
4026532500      web,w2  3          3        web,badcafe00000  shop/web-7d9c  sock_diag  process,mount
key:4026533000  -       1          -        -                 -              -          process
"""

NETNS_REST = r"""
COOKIE  MOUNTS                        ROWS                   INTERFACES
1       -                             -                      lo(127.0.0.1/8,::1/128)
4101    /run/netns/web,/run/netns/w2  tcp:2/2,time_wait:1/?  lo(127.0.0.1/8,::1/128) eth0@if7[host](10.0.0.2/24) v\x1b@if9
-       -                             -                      -
"""  # noqa: E501

CONTAINERS_TABLE = """
ID            NAME  RUNTIME     IMAGE       POD            IP        NETNS  SOURCE  VERIFIED
c0ffee000000  web   containerd  shop/web:1  shop/web-7d9c  10.0.0.2  web    cri     yes
badcafe00000  -     -           -           -              10.0.0.2  web    cgroup  no
"""

CONTAINERS_REST = r"""
CONTAINER-NAME  POD-UID  SANDBOXED  CHAIN         ACCEPTQ  LABELS
httpd           11-22    -          -             1/128    a=é,b=\x1b
-               -        gvisor     c0ffee000000  0/?      -
"""


def text_of(chunks: Iterable[str]) -> str:
    return "".join(chunks)


def test_the_netns_of_the_sample(snapshot: Snapshot) -> None:
    assert "\n" + text_of(render_netns_table(snapshot)) == NETNS_TABLE


def test_the_wide_columns_of_netns(snapshot: Snapshot) -> None:
    columns = ["cookie", "mounts", "rows", "interfaces"]
    assert "\n" + text_of(render_netns_table(snapshot, columns=columns)) == NETNS_REST


def test_wide_has_every_column_of_netns() -> None:
    assert tuple(column.name for column in NETNS_COLUMNS) == NETNS_WIDE


def test_the_containers_of_the_sample(snapshot: Snapshot) -> None:
    assert "\n" + text_of(render_containers_table(snapshot)) == CONTAINERS_TABLE


def test_the_other_columns_of_containers(snapshot: Snapshot) -> None:
    columns = ["container_name", "pod_uid", "sandboxed", "chain", "acceptq", "labels"]
    assert "\n" + text_of(render_containers_table(snapshot, columns=columns)) == CONTAINERS_REST


def test_an_image_that_is_known_by_its_digest_is_told_apart_by_twelve_digits(snapshot: Snapshot) -> None:
    image = f"registry.example/shop/web@sha256:{'ab' * 32}"
    one = snapshot._replace(containers=(snapshot.containers[0]._replace(image=image),))
    table = text_of(render_containers_table(one, columns=["image"], headers=False))
    assert table == "registry.example/shop/web@sha256:abababababab\n"
    assert text_of(render_containers_csv(one, columns=["image"], headers=False)) == f'"{image}"\r\n'


def test_a_container_is_shown_with_one_address_and_how_many_more_there_are(snapshot: Snapshot) -> None:
    interfaces = tuple(
        Interface(number, name, None, up, None, addresses)
        for number, (name, up, addresses) in enumerate(
            [
                ("lo", True, ("127.0.0.1/8", "::1/128")),
                ("eth0", True, ("10.0.0.2/24", "2001:db8::2/64", "fe80::2/64")),
                ("eth1", False, ("10.0.9.9/24",)),
            ]
        )
    )
    netns = tuple(each._replace(interfaces=interfaces) for each in snapshot.netns)
    first = snapshot._replace(netns=netns, containers=snapshot.containers[:1])
    assert text_of(render_containers_table(first, columns=["ip"], headers=False)) == "10.0.0.2 +1\n"
    assert text_of(render_containers_csv(first, columns=["ip"], headers=False)) == '"10.0.0.2,2001:db8::2"\r\n'


def test_the_addresses_of_the_host_are_no_container_s(snapshot: Snapshot) -> None:
    of_host = snapshot._replace(netns=tuple(each._replace(is_host=True) for each in snapshot.netns))
    cells = text_of(render_containers_table(of_host, columns=["ip"], headers=False)).split()
    assert cells == ["-"] * len(snapshot.containers)


def test_a_full_id_is_never_cut(snapshot: Snapshot) -> None:
    lines = text_of(render_containers_table(snapshot, columns=["full_id"], width=10)).splitlines()
    assert lines == ["FULL-ID", *(container.id for container in snapshot.containers)]


def test_no_column_of_containers_has_two_meanings() -> None:
    assert len({column.name for column in CONTAINER_COLUMNS}) == len(CONTAINER_COLUMNS)


def test_the_csv_of_containers_has_the_full_id(snapshot: Snapshot) -> None:
    records = text_of(render_containers_csv(snapshot, columns=["name", "full_id"], headers=False))
    assert records == f'"web","{snapshot.containers[0].id}"\r\n"","{snapshot.containers[1].id}"\r\n'


def test_the_names_of_sockets_are_cookies_where_there_are_any(snapshot: Snapshot) -> None:
    assert text_of(render_socket_names(snapshot)).splitlines() == [
        "socket/4099",
        "socket/4100",
        "socket/4101",
        "socket/inode:8000",
        "socket/inode:8001",
        "socket/4026531840:tcp:[2001:db8::1]:443,[2001:db8::2]:6000",
    ]


def test_the_names_of_netns_are_inodes_where_they_may_be_read(snapshot: Snapshot) -> None:
    assert text_of(render_netns_names(snapshot)) == "netns/4026531840\nnetns/4026532500\nnetns/key:4026533000\n"


def test_the_name_of_a_container_is_its_id_where_nobody_knows_it(snapshot: Snapshot) -> None:
    assert (
        text_of(render_container_names(snapshot))
        == f"container/shop/web-7d9c/httpd\ncontainer/{snapshot.containers[1].id}\n"
    )
