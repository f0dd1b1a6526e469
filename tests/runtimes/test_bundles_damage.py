"""Bundles on disk that are damaged, hostile, or may not be read: what is wrong with one costs no other one."""

import json
import os
import resource
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import Reason, RuntimeUnavailable
from nsagent.runtimes.bundles import BundleSource, parse_annotations
from nsagent.runtimes.source import LeftOut
from tests.runtimes.bundle_files import (
    CRI,
    CRIO,
    FIXTURES,
    ID,
    OTHER_ID,
    RECORDED,
    as_nobody,
    call,
    list_of,
    make_as,
    only,
    put,
    record,
)


def truncate(config: Path) -> None:
    config.write_bytes((RECORDED / "config.json").read_bytes()[:-2])


def link_to(target: Path | str) -> Callable[[Path], None]:
    def replace(config: Path) -> None:
        config.unlink()
        config.symlink_to(target)

    return replace


def replace_by_fifo(config: Path) -> None:
    config.unlink()
    os.mkfifo(config)


def replace_by_directory(config: Path) -> None:
    config.unlink()
    config.mkdir()


def replace_by_socket(config: Path) -> None:
    config.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        # A path of sun_path's 108 bytes would be too short.
        here = os.open(config.parent, os.O_PATH)
        listener.bind(f"/proc/self/fd/{here}/{config.name}")
        os.close(here)


def move_away(directory: Path) -> None:
    """A link to a sound one elsewhere takes its place."""
    elsewhere = next(parent for parent in directory.parents if parent.name == "bundles").with_name("elsewhere")
    directory.rename(elsewhere)
    directory.symlink_to(elsewhere)


def write(text: bytes) -> Callable[[Path], None]:
    def overwrite(config: Path) -> None:
        config.write_bytes(text)

    return overwrite


DAMAGES: dict[str, Callable[[Path], None]] = {
    "none": Path.unlink,
    "empty": write(b""),
    "truncated": truncate,
    "another type": write(b"[]"),
    "null": write(b"null"),
    "annotations that are a list": write(b'{"annotations": ["a"]}'),
    "annotations that are null": write(b'{"annotations": null}'),
    "nesting": write(b"[" * 500_000),
    "a number without end": write(b"9" * 100_000),
    "zeros": write(bytes(4096)),
    "a long one": write(b'{"annotations": {}}' + b" " * 1024 * 1024),
    "a link to a sound one": link_to(RECORDED / "config.json"),
    "a link to the kernel's zeros": link_to("/dev/zero"),
    "a FIFO": replace_by_fifo,
    "a directory": replace_by_directory,
    "a socket": replace_by_socket,
    "its directory is a link": lambda config: move_away(config.parent),
    "the directory around is a link": lambda config: move_away(config.parents[1]),
}


class TestDamage:
    """What is wrong with one bundle costs no other one."""

    @pytest.mark.parametrize("namespace", ["k8s.io", None], ids=["containerd", "cri-o"])
    @pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
    def test_a_damaged_bundle_is_left_out(
        self, tmp_path: Path, damage: Callable[[Path], None], namespace: str | None
    ) -> None:
        directory = tmp_path / "bundles"
        put(directory, namespace and "default", {}, OTHER_ID)
        damage(put(directory, namespace, {}) / "config.json")
        assert [container.id for container in list_of(directory)] == [OTHER_ID]

    @pytest.mark.parametrize("namespace", ["k8s.io", None], ids=["containerd", "cri-o"])
    @pytest.mark.parametrize(
        ("damage", "told"),
        [
            ("truncated", (LeftOut(Reason.MALFORMED, ID),)),
            ("a long one", (LeftOut(Reason.TOO_LARGE, ID),)),
            ("none", ()),
            ("a FIFO", ()),
        ],
    )
    def test_which_bundles_tell_nothing_is_told(
        self, tmp_path: Path, damage: str, told: tuple[LeftOut, ...], namespace: str | None
    ) -> None:
        """One without a config.json is being made, or removed."""
        put(tmp_path, namespace and "default", {}, OTHER_ID)
        DAMAGES[damage](put(tmp_path, namespace, {}) / "config.json")
        source = BundleSource(str(tmp_path))
        source.list_containers()
        assert tuple(source.left_out) == told

    @pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
    def test_a_shim_of_another_form_does_not_cost_the_name(self, tmp_path: Path, make: Callable[[Path], None]) -> None:
        call(tmp_path, "web")
        make(put(tmp_path, "default", make_as("web")) / "shim-binary-path")
        assert only(tmp_path) == record("web")

    @pytest.mark.parametrize("name", ["web", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "." + "a" * 64, "a" * 63 + "\n"])
    def test_an_id_that_is_not_64_hex_digits_is_left_out(self, tmp_path: Path, name: str) -> None:
        put(tmp_path, "default", {}, name)
        assert list_of(tmp_path) == ()

    def test_names_that_are_not_utf8_are_left_out(self, tmp_path: Path) -> None:
        put(tmp_path, "default", {})
        os.mkdir(os.fsencode(tmp_path) + b"/\xff")
        os.mkdir(os.fsencode(tmp_path) + b"/default/" + b"\xff" * 64)
        assert list_of(tmp_path) == (record(None),)

    def test_a_namespace_that_is_a_link_is_not_followed(self, tmp_path: Path) -> None:
        put(tmp_path / "elsewhere", "k8s.io", {})
        (tmp_path / "bundles").mkdir()
        (tmp_path / "bundles" / "k8s.io").symlink_to(tmp_path / "elsewhere" / "k8s.io")
        assert list_of(tmp_path / "bundles") == ()

    def test_files_beside_the_bundles_are_passed_over(self, tmp_path: Path) -> None:
        put(tmp_path, None, {})
        (tmp_path / "containers.json").write_text("[]")
        os.mkfifo(tmp_path / "fifo")
        assert list_of(tmp_path) == (record(None, None),)

    @pytest.mark.parametrize("value", [7, None, True, "", ["app"], {"a": "b"}, "x" * 1025])
    def test_a_value_of_another_form_is_none(self, tmp_path: Path, value: object) -> None:
        keys = ("container-name", "container-type", "image-name", "sandbox-id", "sandbox-name", "sandbox-uid")
        put(tmp_path, "k8s.io", dict.fromkeys([f"{CRI}{key}" for key in keys], value))
        assert only(tmp_path) == record(None)

    def test_bytes_that_are_not_utf8_do_not_cost_the_name(self, tmp_path: Path) -> None:
        """The environment of a process may hold any."""
        config = put(tmp_path, "k8s.io", {}) / "config.json"
        annotations = b'{"io.kubernetes.cri.container-name": "w\xffb"}'
        config.write_bytes(b'{"process": {"env": ["A=\xff"]}, "annotations": %s}' % annotations)
        assert only(tmp_path) == record("w\udcffb", container_name="w\udcffb")

    def test_nothing_of_the_environment_is_kept(self, tmp_path: Path) -> None:
        config = put(tmp_path, "k8s.io", {}) / "config.json"
        config.write_text('{"process": {"env": ["PASSWORD=hunter2"]}, "annotations": {"secret": "hunter2"}}')
        assert "hunter2" not in repr(list_of(tmp_path))

    @given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
    def test_any_bytes_have_annotations_or_none(self, config: bytes) -> None:
        assert isinstance(parse_annotations(config), dict | None)

    @given(st.data())
    def test_a_recorded_config_with_any_damage_has_annotations_or_none(self, data: st.DataObject) -> None:
        config = bytearray((RECORDED / "config.json").read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.integers(0, len(config)))
            config[start : start + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=8))
        assert isinstance(parse_annotations(bytes(config)), dict | None)

    @given(st.dictionaries(st.sampled_from([
        f"{CRI}container-type", f"{CRI}container-name", f"{CRI}sandbox-name", f"{CRI}sandbox-id", "nerdctl/name",
        f"{CRI}sandbox-log-directory", f"{CRIO}Labels", f"{CRIO}ContainerType", "io.container.manager",
        "io.kubernetes.container.name", "io.kubernetes.pod.name", "kubernetes.io/config.hash",
    ]), st.sampled_from(["sandbox", "container", "POD", "cri-o", "libpod", '{"a": "b"}', ID]) | st.text()
        | st.none() | st.integers() | st.lists(st.text())))  # fmt: skip
    def test_any_annotations_make_a_record(
        self, tmp_path_factory: pytest.TempPathFactory, annotations: dict[str, object]
    ) -> None:
        directory = tmp_path_factory.mktemp("bundles")
        put(directory, "k8s.io", annotations)
        put(directory, None, annotations, OTHER_ID)
        assert {(container.id, container.verified) for container in list_of(directory)} == {
            (ID, True),
            (OTHER_ID, True),
        }
        shutil.rmtree(directory)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory by a path that nobody is kept from: those around it are the user's alone."""
    directory = tmp_path / "bundles"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return Path()


class TestFailures:
    """A directory that cannot be read."""

    def test_no_directory(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeUnavailable, match=r"^No such file or directory \(ENOENT\)$"):
            list_of(tmp_path / "absent")

    def test_an_empty_directory_has_no_containers(self, tmp_path: Path) -> None:
        assert list_of(tmp_path) == ()

    @pytest.mark.parametrize("private", [".", "k8s.io", f"k8s.io/{ID}", f"k8s.io/{ID}/config.json"])
    def test_a_directory_that_may_not_be_read(self, here: Path, private: str) -> None:
        put(here, "k8s.io", {})
        (here / private).chmod(0)
        with as_nobody(), pytest.raises(RuntimeUnavailable, match=r"^Permission denied \(EACCES\)$"):
            list_of(here)

    def test_a_bundle_that_may_not_be_read_costs_no_other_one(self, here: Path) -> None:
        put(here, "k8s.io", {}).chmod(0)
        put(here, "default", {}, OTHER_ID)
        with as_nobody():
            assert [container.id for container in list_of(here)] == [OTHER_ID]

    def test_a_shim_that_may_not_be_read_does_not_cost_the_name(self, here: Path) -> None:
        call(here, "web")
        bundle = put(here, "default", make_as("web"), shim_binary_path="/usr/bin/containerd-shim-kata-v2")
        (bundle / "shim-binary-path").chmod(0)
        with as_nobody():
            assert list_of(here) == (record("web"),)

    @pytest.mark.parametrize("spare", [1, 2], ids=["to list", "to read"])
    def test_no_descriptors_are_no_empty_answer(self, tmp_path: Path, spare: int) -> None:
        put(tmp_path, None, {})
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.open(tmp_path, os.O_PATH)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, hard))
        try:
            with pytest.raises(RuntimeUnavailable, match=r"^Too many open files \(EMFILE\)$"):
                list_of(tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def test_more_entries_than_a_node_can_have(self, tmp_path: Path) -> None:
        """In all namespaces together, and these count too."""
        put(tmp_path, "a", {})
        put(tmp_path, "b", {}, OTHER_ID)
        assert len(BundleSource(str(tmp_path), entry_limit=4).list_containers()) == 2
        with pytest.raises(RuntimeUnavailable, match=r"^too many entries$"):
            BundleSource(str(tmp_path), entry_limit=3).list_containers()

    def test_a_call_that_nobody_waits_for_ends_and_the_next_one_does_not(self, tmp_path: Path) -> None:
        for number in range(200):
            bundle = put(tmp_path, "k8s.io", {}, f"{number:064x}")
            (bundle / "config.json").write_text(json.dumps({"process": {"env": ["A=B"] * 5000}}))
        source = BundleSource(str(tmp_path))
        failures: list[str] = []

        def ask() -> None:
            try:
                source.list_containers()
            except RuntimeUnavailable as err:
                failures.append(str(err))

        thread = threading.Thread(target=ask)
        thread.start()
        while thread.is_alive():
            source.abandon()
            time.sleep(0.001)
        assert failures == ["given up before the end"]
        assert len(source.list_containers()) == 200

    def test_no_descriptor_is_left_open(self, here: Path) -> None:
        put(here, "k8s.io", {}).chmod(0)
        (here / OTHER_ID).mkdir()
        before = len(os.listdir("/proc/self/fd"))
        for fixture in FIXTURES.iterdir():
            if fixture.is_dir():
                list_of(fixture)
        with as_nobody(), pytest.raises(RuntimeUnavailable):
            list_of(here)
        assert len(os.listdir("/proc/self/fd")) == before
