"""`nsagent inspect` of the processes of real containers."""

import json
from typing import Any

from tests.kernel.children import start_child
from tests.live.deadlines import until
from tests.live.docker_bed import DockerBed
from tests.live.nsagent_cli import run_nsagent
from tests.live.unprivileged import PlainUser


def inspect(bed: DockerBed, *arguments: str) -> list[dict[str, Any]]:
    """The processes of the document."""
    ran = run_nsagent("inspect", "-o", "json", *bed.runtime_option, *arguments)
    assert ran.status == 0, ran.stderr
    return list(json.loads(ran.stdout)["processes"])


def test_each_process_of_a_container_is_told_with_its_container_and_where_the_host_has_its_file(
    docker_bed: DockerBed,
) -> None:
    made = docker_bed.run("inspected", "bridge", ["httpd", "-f", "-p", "8091"])
    further = docker_bed.execute(made, ["httpd", "-f", "-p", "8092"])
    until(lambda: inspect(docker_bed, str(further))[0]["container"], "its engine tells of it")
    told = inspect(docker_bed, "-c", made.id)
    assert {one["pid"] for one in told} == {made.pid, further}
    for one in told:
        assert one["container"]["id"] == made.id
        assert one["argv"][:2] == ["httpd", "-f"]
        assert one["exe"]["path"].startswith("/bin/")
        assert one["exe"]["state"] == "present"
        assert one["namespaces"]["net"] == {"inode": made.netns_inode, "differs": True}
        (socket,) = (each["socket"] for each in one["fds"] if each["kind"] == "socket" and each["socket"])
        assert (socket["netns"], socket["state"], socket["container_id"]) == (made.netns_inode, "listen", made.id)
    assert [parent["begins_container"] for parent in told[0]["parents"]].count(True) == 0


def test_bug_54_to_a_plain_user_what_may_not_be_read_of_others_is_null_and_a_gap(plain_user: PlainUser) -> None:
    with start_child("ready(); wait()") as child:
        ran = plain_user.run_nsagent("inspect", str(child.pid), "-o", "json", "--runtime", "none")
        table = plain_user.run_nsagent("inspect", str(child.pid), "--runtime", "none").stdout.decode()
    assert ran.status == 0, ran.stderr
    (one,) = json.loads(ran.stdout)["processes"]
    secret = ("fds", "namespaces", "exe", "cwd", "root", "io", "maps", "environ", "stack")
    assert {name: one[name] for name in secret} == dict.fromkeys(secret)
    assert (one["pid"], one["uids"]["real"], one["argv"][1]) == (child.pid, 0, "-c")
    (gap,) = one["gaps"]
    assert (gap["stage"], gap["code"]) == ("details", "EACCES")
    assert set(gap["ids"]) >= {"fd", "ns", "exe", "cwd", "root", "io", "maps"}
    assert "OPEN FILES" not in table
    assert "(EACCES)" in table
