"""What nerdctl calls containers, by its store of names."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nsagent.runtimes.bundles import BundleSource
from tests.runtimes.bundle_files import (
    ID,
    NERDCTL_STORE,
    OTHER_ID,
    as_nobody,
    call,
    list_of,
    make_as,
    only,
    put,
    record,
)

STORE = Path("host") / NERDCTL_STORE


def test_a_name_counts_where_the_store_has_it_for_that_container(tmp_path: Path) -> None:
    put(tmp_path, "default", make_as("web"))
    call(tmp_path, "web")
    assert only(tmp_path) == record("web")


def test_a_container_that_was_renamed_has_its_new_name(tmp_path: Path) -> None:
    put(tmp_path, "default", make_as("web"))
    call(tmp_path, "other", id_=OTHER_ID)
    call(tmp_path, "web").rename(tmp_path / STORE / "names/default/shop")
    assert only(tmp_path) == record("shop")


def test_a_name_that_is_another_one_s_now_is_not_told(tmp_path: Path) -> None:
    put(tmp_path, "default", make_as("web"))
    call(tmp_path, "web", id_=OTHER_ID)
    assert only(tmp_path) == record(None)


def test_a_name_of_another_namespace_is_not_told(tmp_path: Path) -> None:
    put(tmp_path, "default", make_as("web"))
    call(tmp_path, "web", "other")
    assert only(tmp_path) == record(None)


def test_without_the_store_no_name_is_known(tmp_path: Path) -> None:
    """As where the store of the host cannot be seen from a container."""
    put(tmp_path, "default", make_as("web"))
    assert only(tmp_path) == record(None)


def test_a_store_that_may_not_be_read_costs_the_names_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "bundles"
    here.mkdir()
    # By a path that nobody is kept from: the directories around it are the user's alone.
    monkeypatch.chdir(here)
    put(Path(), "default", make_as("web"))
    call(Path(), "web").parent.chmod(0)
    with as_nobody():
        assert only(Path()) == record(None)


@pytest.mark.parametrize("content", [b"", b"\xff", ID.encode() * 3, ID[:12].encode()])
def test_a_file_of_another_content_names_nobody(tmp_path: Path, content: bytes) -> None:
    put(tmp_path, "default", make_as("web"))
    call(tmp_path, "web").write_bytes(content)
    assert only(tmp_path) == record(None)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_names_nobody(tmp_path: Path, make: Callable[[Path], None]) -> None:
    put(tmp_path, "default", make_as("web"))
    path = call(tmp_path, "web")
    path.unlink()
    make(path)
    assert only(tmp_path) == record(None)


@pytest.mark.parametrize("name", ["../default/web", "/web", ".", "..", "\0", "\ud800", "w" * 300])
def test_a_name_that_is_none_of_a_file_is_not_told(tmp_path: Path, name: str) -> None:
    put(tmp_path, "default", make_as(name))
    call(tmp_path, "web", id_=OTHER_ID)
    assert only(tmp_path) == record(None)


@pytest.mark.parametrize(
    "directory",
    [
        "",
        "/",
        f"var/lib/nerdctl/x/containers/default/{ID}",
        f"/{NERDCTL_STORE}/containers/default",
        "\0",
        "/" + "x/" * 400,
    ],
)
def test_a_state_directory_of_another_form_leads_to_no_store(tmp_path: Path, directory: str) -> None:
    put(tmp_path, "default", {"nerdctl/name": "web", "nerdctl/state-dir": directory})
    call(tmp_path, "web")
    assert only(tmp_path) == record(None)


def test_links_on_the_way_to_the_store_are_those_of_the_host(tmp_path: Path) -> None:
    put(tmp_path, "default", make_as("web"))
    call(tmp_path, "web")
    shutil.move(tmp_path / STORE.parent, tmp_path / "host/srv/nerdctl")
    (tmp_path / STORE.parent).symlink_to("/srv/nerdctl")
    assert only(tmp_path) == record("web")


def test_of_a_store_with_too_many_names_those_that_stayed_are_told(tmp_path: Path) -> None:
    put(tmp_path / "bundles", "default", make_as("web"))
    put(tmp_path / "bundles", "default", make_as("old", id_=OTHER_ID), OTHER_ID)
    for name, id_ in (("web", ID), ("new", OTHER_ID), *((f"n{number}", "x") for number in range(8))):
        call(tmp_path, name, id_=id_)
    source = BundleSource(str(tmp_path / "bundles"), entry_limit=9, root=str(tmp_path / "host"))
    assert [one.name for one in source.list_containers()] == ["web", None]
    source = BundleSource(str(tmp_path / "bundles"), entry_limit=10, root=str(tmp_path / "host"))
    assert [one.name for one in source.list_containers()] == ["web", "new"]


def test_the_root_of_the_host_is_that_of_the_program_by_itself(tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"
    store = tmp_path / STORE
    put(bundles, "default", {"nerdctl/name": "web", "nerdctl/state-dir": f"{store}/containers/default/{ID}"})
    call(tmp_path, "web")
    assert BundleSource(str(bundles)).list_containers() == (record("web"),)
    assert list_of(bundles) == (record(None),)
