"""The forms of cgroup paths: fixtures/cgroups/corpus.json has one row for each, the rest is made from them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nsagent.identity.cgroup_path import CgroupIdentity, parse_cgroup
from nsagent.model.container import Runtime
from nsagent.model.ids import ContainerId

CORPUS = Path(__file__).parents[2] / "fixtures" / "cgroups" / "corpus.json"
ROWS: tuple[dict[str, Any], ...] = tuple(json.loads(CORPUS.read_text("utf-8")))
LONGEST = max(len(row["text"]) for row in ROWS)
OUTER = ContainerId("0123456789abcdef" * 4)
INNER = ContainerId("fedcba9876543210" * 4)
POD_UID = "3d6beaa3-0049-13ef-b68c-e073d73494b0"
NOBODY = CgroupIdentity(None, None, None, (), None, None)


def told(identity: CgroupIdentity) -> tuple[object, ...]:
    """Everything but the path that told it."""
    return identity.container_id, identity.runtime, identity.pod_uid, identity.chain, identity.unit


def expected(row: dict[str, Any]) -> tuple[object, ...]:
    return (
        row["container_id"],
        Runtime(row["runtime"]) if row["runtime"] else None,
        row["pod_uid"],
        tuple(row["chain"]),
        row["unit"],
    )


def single_paths() -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of one v2 line, as (path, row)."""
    for row in ROWS:
        lines = row["text"].splitlines()
        if len(lines) == 1 and lines[0].startswith("0::/") and not lines[0].endswith(" (deleted)"):
            yield lines[0].removeprefix("0::"), row


def variants() -> Iterator[Any]:
    """Every path as other kernels, runtimes and observers would show it."""
    for path, row in single_paths():
        form, same = row["form"], expected(row)
        yield pytest.param(f"12:cpu,cpuacct:{path}\n1:name=systemd:{path}\n", same, id=f"v1: {form}")
        yield pytest.param(f"4:memory:{path}\n0::/\n", same, id=f"hybrid, v1 only: {form}")
        yield pytest.param(f"0::/../..{path}\n", same, id=f"another cgroup namespace: {form}")
        yield pytest.param(f"0::{path}/leaf (deleted)\n", same, id=f"below it, removed: {form}")
        container_id, runtime, pod_uid, _, unit = same
        nested = (
            (container_id, runtime, pod_uid, (OUTER, *row["chain"]), unit)
            if container_id
            else (OUTER, Runtime.DOCKER, None, (), unit)
        )
        yield pytest.param(f"0::/docker/{OUTER}{path}\n", nested, id=f"in docker: {form}")


VARIANTS = tuple(variants())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["form"]))
def test_each_form_of_the_corpus(row: dict[str, Any]) -> None:
    assert told(parse_cgroup(row["text"])) == expected(row)


@pytest.mark.parametrize(("text", "same"), VARIANTS)
def test_each_form_seen_differently(text: str, same: tuple[object, ...]) -> None:
    assert told(parse_cgroup(text)) == same


def test_the_corpus_is_not_cut() -> None:
    assert len(ROWS) >= 120
    assert len(VARIANTS) >= 400


def test_the_path_is_the_one_that_told() -> None:
    text = f"4:memory:/docker/{OUTER}\n1:name=systemd:/\n0::/system.slice/containerd.service\n"
    assert parse_cgroup(text).path == f"/docker/{OUTER}"


def test_the_path_of_v2_is_preferred_where_several_tell_the_same() -> None:
    text = f"4:memory:/docker/{OUTER}\n0::/system.slice/docker-{OUTER}.scope\n"
    assert parse_cgroup(text).path == f"/system.slice/docker-{OUTER}.scope"


def test_text_without_a_path_is_nobody() -> None:
    assert parse_cgroup("") == NOBODY
    assert parse_cgroup("0::\n0:\n\n:::\n4:memory") == NOBODY


def test_a_separator_of_lines_in_a_name_does_not_end_the_line() -> None:
    """cgroup names may hold all of them but the newline, and so could forge a line of their own."""
    text = f"0::/user.slice/x\x0b0::/docker/{OUTER}\u20280::/y\n"
    assert parse_cgroup(text).path == text.removeprefix("0::").rstrip("\n")


def test_a_name_with_hostile_characters_is_no_lxc_container() -> None:
    assert parse_cgroup("0::/lxc/\x1b[31mweb\n").container_id is None


def test_a_path_longer_than_the_kernel_prints_is_not_read() -> None:
    assert parse_cgroup("0::" + "/a" * 3000 + f"/docker/{OUTER}\n") == NOBODY


def test_a_record_is_hashable_so_that_callers_may_cache_it() -> None:
    record = parse_cgroup(f"0::/docker/{OUTER}\n")
    path = f"/docker/{OUTER}"
    assert {record: 1}[CgroupIdentity(OUTER, Runtime.DOCKER, None, (), None, path, (path,))] == 1


def test_the_roots_are_the_directories_of_the_containers_and_of_the_pod() -> None:
    path = f"/docker/{OUTER}/kubepods/burstable/pod{POD_UID}/{INNER}/init.scope"
    identity = parse_cgroup(f"0::/../..{path}\n")
    pod_root = f"/docker/{OUTER}/kubepods/burstable/pod{POD_UID}"
    assert (identity.roots, identity.pod_root) == ((f"/docker/{OUTER}", f"{pod_root}/{INNER}"), pod_root)


def test_the_directory_of_a_pod_is_the_same_for_all_forms_of_its_containers() -> None:
    slice_ = f"kubepods-burstable-pod{POD_UID.replace('-', '_')}.slice"
    texts = [f"0::/{slice_}:cri-containerd:{id_}\n" for id_ in (OUTER, INNER)]
    assert {parse_cgroup(text).pod_root for text in texts} == {f"/{slice_}"}


def test_a_forged_directory_is_one_like_any_other() -> None:
    forged = f"/user.slice/docker-{OUTER}.scope"
    assert parse_cgroup(f"0::{forged}/docker/{INNER}\n", {forged}).chain == ()
    assert parse_cgroup(f"0::{forged}\n1:cpu:/docker/{INNER}\n", {forged}).container_id == INNER


ODD_SEGMENTS = ("", "..", ".", "docker-", ".scope", ":", "::", "pod", "user@", "supervisor", "lxc", "x" * 64, "\\xff")
SEGMENTS = st.sampled_from(
    [*ODD_SEGMENTS, *sorted({segment for path, _ in single_paths() for segment in path.split("/") if segment})]
)


@given(st.text() | st.lists(SEGMENTS).map("/".join) | st.lists(SEGMENTS).map(lambda parts: "0::/" + "/".join(parts)))
def test_any_text_has_an_answer(text: str) -> None:
    identity = parse_cgroup(text)
    assert identity.container_id not in identity.chain
    assert identity.container_id is not None or (not identity.chain and identity.runtime is None)


ESCAPED = next(row for row in ROWS if "\\x2d" in row["text"])


@given(row=st.sampled_from(ROWS), at=st.integers(0, LONGEST), cut=st.integers(0, 3), put=st.text(max_size=3))
@example(row=ESCAPED, at=ESCAPED["text"].index("\\x2d"), cut=4, put="\\x2b")
def test_a_damaged_row_never_makes_up_an_id(row: dict[str, Any], at: int, cut: int, put: str) -> None:
    """What is read out of a damaged text stands in it, as it is or with the escapes of systemd undone."""
    text: str = row["text"]
    damaged = text[:at] + put + text[at + cut :]
    plain = re.sub(r"\\x([0-9a-f]{2})", lambda escape: chr(int(escape[1], 16)), damaged)
    identity = parse_cgroup(damaged)
    for id_ in (*identity.chain, *([identity.container_id] if identity.container_id else [])):
        assert id_ in damaged or id_ in plain
    if identity.pod_uid is not None:
        assert identity.pod_uid in damaged.replace("_", "-")


@pytest.mark.parametrize(
    ("path", "container_id"),
    [
        (f"/docker/{OUTER}/x/machine-web.scope/supervisor", OUTER),
        (f"/docker/{OUTER}/machine.slice/machine-qemu-1-web.scope/supervisor", OUTER),
        (f"/docker/{OUTER}/machine.slice/machine-web.scope/supervisor", OUTER),
        ("/machine.slice/machine-web.scope/payload/machine.slice/machine-web.scope/supervisor", "web"),
        ("/machine.slice/systemd-nspawn@web.service/payload/x/systemd-nspawn@web.service/supervisor", "web"),
    ],
)
def test_no_container_is_left_by_calling_a_cgroup_below_it_like_nspawn_s_own(path: str, container_id: str) -> None:
    identity = parse_cgroup(f"0::{path}\n")
    assert (identity.container_id, identity.chain) == (container_id, ())


def test_a_container_in_a_cgroup_parent_of_its_own_is_not_left_by_calling_a_cgroup_below_it_like_podman_s() -> None:
    """A pod of podman's may have such a path too, and stands in the chain like a container then."""
    identity = parse_cgroup(f"0::/actions_job/{OUTER}/libpod-{INNER}\n")
    assert (identity.container_id, identity.chain) == (INNER, (OUTER,))


USER = "/user.slice/user-1000.slice/user@1000.service"


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        (f"{USER}/sshd.service", "user@1000.service/sshd.service"),
        (f"{USER}/app.slice/user@0.service/x.slice/sshd.service", "user@1000.service/sshd.service"),
        (f"{USER}/init.scope/sshd.service", "user@1000.service"),
        (f"{USER}/machine.slice/machine-web.scope/supervisor", "user@1000.service/machine-web.scope"),
        (f"{USER}/app.slice/web.service/libpod-payload-{INNER}", "user@1000.service/web.service"),
        (f"/docker/{OUTER}{USER}/sshd.service", "user@1000.service/sshd.service"),
        (f"{USER}/docker-{OUTER}.scope/system.slice/sshd.service", "sshd.service"),
    ],
)
def test_a_unit_of_a_user_s_is_told_with_whose_it_is(path: str, unit: str) -> None:
    """Whoever may make a cgroup there can call it like a service of the system."""
    assert parse_cgroup(f"0::{path}\n").unit == unit


def test_no_more_containers_are_in_each_other_than_anybody_nests() -> None:
    """Each that two cgroups claim costs a look at all paths: a path has room for sixty."""
    ids = [f"{number:064x}" for number in range(9)]
    identity = parse_cgroup("0::/docker/" + "/".join(ids) + "\n")
    assert (*identity.chain, identity.container_id) == tuple(ids[:8])
    assert parse_cgroup("0::/docker/" + "/".join(ids) + "\n", {f"/docker/{ids[0]}"}).container_id == ids[7]


def test_no_pod_is_right_in_another_one() -> None:
    """Nor right in a forged one: else a row of a hundred would have to be looked at one after the other."""
    path = f"/kubepods/pod{POD_UID}/pod{POD_UID[:-1]}1/{INNER}"
    assert parse_cgroup(f"0::{path}\n").pod_uid == POD_UID
    assert parse_cgroup(f"0::{path}\n", {f"/kubepods/pod{POD_UID}"}).pod_uid is None
