"""Where names may come from, and in which order."""

import os
import stat
from pathlib import Path

import pytest

from nsagent.errors import UsageError
from nsagent.runtimes.discover import make_source
from nsagent.runtimes.places import PlaceState, list_places, parse_runtime_option

CRI_SOCKETS = (
    "run/containerd/containerd.sock",
    "run/k3s/containerd/containerd.sock",
    "run/k0s/containerd.sock",
    "var/snap/microk8s/common/run/containerd.sock",
    "run/crio/crio.sock",
    "run/cri-dockerd.sock",
)
DOCKER = "docker unix:///run/docker.sock"
PODMAN = "podman unix:///run/podman/podman.sock"
CONTAINERD = "cri unix:///run/containerd/containerd.sock"
BUNDLES = "bundles /run/containerd/io.containerd.runtime.v2.task"
LOGS = "logs /var/log/containers"


def make_socket(root: Path, path: str) -> Path:
    """The file of a socket, which needs no listener to be found, and may have a longer path than one could bind."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(file, stat.S_IFSOCK | 0o600)
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with Docker's and podman's sockets, /var/run being a link as everywhere."""
    make_socket(tmp_path, "run/docker.sock")
    make_socket(tmp_path, "run/podman/podman.sock")
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    return tmp_path


def asked(root: Path, option: str | None = None, **environ: str) -> list[str]:
    """What is asked, in order, with the root cut out."""
    places = list_places(option, environ, str(root))
    asked_for = [place for place in places if place.state is PlaceState.ASKED]
    assert [source.subject for source in map(make_source, asked_for)] == [
        f"{place.kind} ({place.address})" for place in asked_for
    ]
    return [f"{place.kind} {place.address}".replace(str(root), "") for place in asked_for]


def left(root: Path, **environ: str) -> dict[str, tuple[PlaceState, str | None]]:
    """What is there or was named and is not asked: its address, and why."""
    return {
        place.address.replace(str(root), ""): (place.state, place.reason and place.reason.replace(str(root), ""))
        for place in list_places(None, environ, str(root))
        if place.state not in (PlaceState.ASKED, PlaceState.ABSENT)
    }


def test_the_usual_sockets_each_once(root: Path) -> None:
    assert asked(root) == [DOCKER, PODMAN]


def test_every_usual_place_in_the_order_in_which_names_count(root: Path) -> None:
    """Runtimes know most, then what lies on disk; what other users serve is not asked unless it is named."""
    for path in (*CRI_SOCKETS, "run/user/1000/docker.sock", "run/user/1001/podman/podman.sock"):
        make_socket(root, path)
    directories = ("run/containerd/io.containerd.runtime.v2.task", "var/log/containers")
    for path in directories:
        (root / path).mkdir(parents=True)
    assert asked(root) == [
        *(f"cri unix:///{path}" for path in CRI_SOCKETS),
        DOCKER,
        PODMAN,
        BUNDLES,
        LOGS,
    ]


def test_a_host_without_any_engine_has_no_source_and_every_place_is_told(tmp_path: Path) -> None:
    places = list_places(None, {}, str(tmp_path))
    assert {place.state for place in places} == {PlaceState.ABSENT}
    assert {place.reason for place in places} == {"no such socket", "no such directory"}
    assert [place.address for place in places][:6] == [f"unix://{tmp_path}/{path}" for path in CRI_SOCKETS]


def test_docker_s_variables_for_tls_go_with_its_tcp_addresses_alone(root: Path) -> None:
    tls = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}
    places = list_places(None, {"DOCKER_HOST": "tcp://h:2376", "CONTAINER_HOST": "tcp://h:1", **tls}, str(root))
    assert {place.address: dict(place.tls) for place in places if place.tls} == {"tcp://h:2376": tls}
    (chosen,) = list_places("docker=tcp://h:2376", {"DOCKER_TLS_VERIFY": "", "DOCKER_CERT_PATH": "/certs"})
    assert dict(chosen.tls) == {"DOCKER_CERT_PATH": "/certs"}


def test_an_engine_of_another_user_is_not_asked_because_su_took_the_variable_along(root: Path) -> None:
    own, other = (make_socket(root, f"run/user/{user}/docker.sock") for user in (os.geteuid(), 4711))
    if os.geteuid() == 0:
        os.chown(other, 4711, 4711)
        assert left(root, XDG_RUNTIME_DIR="/run/user/4711") == {
            "unix:///run/user/4711/docker.sock": (PlaceState.LEFT_OUT, "another user's")
        }
    assert f"docker unix://{own}".replace(str(root), "") in asked(root, XDG_RUNTIME_DIR=f"/run/user/{os.geteuid()}")


def test_at_the_root_itself_a_place_is_called_as_users_know_it() -> None:
    addresses = [place.address for place in list_places(None, {})]
    assert addresses[0] == "unix:///run/containerd/containerd.sock"
    assert {"unix:///var/run/docker.sock", "unix:///run/docker.sock"}.intersection(addresses)


def test_the_user_s_own_come_before_what_lies_on_disk(root: Path) -> None:
    make_socket(root, "run/user/1000/podman/podman.sock")
    (root / "var/log/containers").mkdir(parents=True)
    own = "podman unix:///run/user/1000/podman/podman.sock"
    assert asked(root, XDG_RUNTIME_DIR="/run/user/1000") == [DOCKER, PODMAN, own, LOGS]
    assert asked(root) == [DOCKER, PODMAN, LOGS]


class TestLinks:
    """Several names of one place, and links on a host that is seen below a directory."""

    def test_an_absolute_link_is_followed_as_on_the_host(self, root: Path) -> None:
        (root / "run/docker.sock").unlink()
        make_socket(root, "opt/engine.sock")
        (root / "run/docker.sock").symlink_to("/opt/engine.sock")
        assert asked(root) == ["docker unix:///opt/engine.sock", PODMAN]

    def test_a_link_that_climbs_too_high_stays_below_the_root(self, root: Path) -> None:
        (root / "var/run").unlink()
        (root / "var/run").symlink_to("../../../../../run")
        assert asked(root) == [DOCKER, PODMAN]

    def test_a_host_whose_var_is_not_mounted_has_its_socket_in_run(self, root: Path) -> None:
        (root / "var/run").unlink()
        (root / "var").rmdir()
        assert asked(root) == [DOCKER, PODMAN]

    def test_a_link_that_leads_nowhere_is_absent(self, root: Path) -> None:
        (root / "run/docker.sock").unlink()
        (root / "run/docker.sock").symlink_to("/nowhere")
        assert asked(root) == [PODMAN]

    def test_links_that_go_round_are_not_asked_and_that_is_told(self, root: Path) -> None:
        (root / "run/docker.sock").unlink()
        (root / "run/docker.sock").symlink_to("docker.sock")
        assert asked(root) == [PODMAN]
        loops = (PlaceState.LEFT_OUT, "too many symbolic links (ELOOP)")
        assert left(root) == {"unix:///var/run/docker.sock": loops}
        with pytest.raises(UsageError, match=r"^--runtime docker: unix:///.* cannot be asked: too many symbolic links"):
            list_places("docker", {}, str(root))

    @pytest.mark.parametrize("target", ["docker.sock", "{outside}/docker.sock"])
    def test_links_that_go_round_lead_nowhere_outside_the_root(
        self, root: Path, tmp_path_factory: pytest.TempPathFactory, target: str
    ) -> None:
        """Neither by the way there, which is here as well, nor by a target that is absolute."""
        outside = tmp_path_factory.mktemp("outside")
        make_socket(outside, "docker.sock")
        below = root / outside.relative_to("/")
        below.mkdir(parents=True)
        (below / "docker.sock").symlink_to(target.format(outside=outside))
        (root / "var/run").unlink()
        (root / "var/run").symlink_to(outside)
        (root / "run/docker.sock").unlink()
        assert asked(root) == [PODMAN]

    def test_one_socket_by_several_names_is_asked_once(self, root: Path) -> None:
        """Where podman stands in for Docker one is a link to the other."""
        (root / "run/docker.sock").unlink()
        os.link(root / "run/podman/podman.sock", root / "run/docker.sock")
        assert asked(root) == [DOCKER]
        assert left(root) == {
            "unix:///run/podman/podman.sock": (PlaceState.SAME, "the same as unix:///run/docker.sock")
        }

    def test_one_directory_by_several_names_is_read_once(self, root: Path) -> None:
        (root / "run/containerd/io.containerd.runtime.v2.task").mkdir(parents=True)
        (root / "run/k3s/containerd").mkdir(parents=True)
        (root / "run/k3s/containerd/io.containerd.runtime.v2.task").symlink_to(
            "/run/containerd/io.containerd.runtime.v2.task"
        )
        assert asked(root) == [DOCKER, PODMAN, BUNDLES]


class TestTypes:
    """Something else under the name of a source."""

    def test_what_is_no_socket_is_not_asked(self, tmp_path: Path) -> None:
        (tmp_path / "run/docker.sock").mkdir(parents=True)
        assert asked(tmp_path) == []
        assert left(tmp_path) == {"unix:///run/docker.sock": (PlaceState.UNFIT, "is no socket")}

    def test_what_is_no_directory_is_not_read(self, tmp_path: Path) -> None:
        (tmp_path / "var/log").mkdir(parents=True)
        (tmp_path / "var/log/containers").touch()
        assert asked(tmp_path) == []
        assert left(tmp_path) == {"/var/log/containers": (PlaceState.UNFIT, "is no directory")}

    def test_what_lies_below_a_file_is_absent(self, tmp_path: Path) -> None:
        (tmp_path / "run").touch()
        assert asked(tmp_path) == []
        assert left(tmp_path) == {}


class TestEnvironment:
    """DOCKER_HOST, CONTAINER_HOST, CONTAINER_RUNTIME_ENDPOINT."""

    def test_it_comes_first_and_is_asked_even_if_nothing_is_there(self, root: Path) -> None:
        make_socket(root, CRI_SOCKETS[0])
        found = asked(
            root,
            DOCKER_HOST="unix:///nonexistent",
            CONTAINER_HOST="/run/elsewhere.sock",
            CONTAINER_RUNTIME_ENDPOINT="unix:///run/cri.sock",
        )
        named = ["docker unix:///nonexistent", "podman unix:///run/elsewhere.sock", "cri unix:///run/cri.sock"]
        assert found == [*named, CONTAINERD, DOCKER, PODMAN]

    def test_a_socket_that_it_names_is_asked_once(self, root: Path) -> None:
        assert asked(root, DOCKER_HOST=f"unix://{root}/run/docker.sock") == [DOCKER, PODMAN]
        assert asked(root, CONTAINER_RUNTIME_ENDPOINT=f"{make_socket(root, CRI_SOCKETS[0])}") == [
            CONTAINERD,
            DOCKER,
            PODMAN,
        ]

    @pytest.mark.parametrize("name", ["run/docker.sock", "run/podman/podman.sock", "var/run/dockershim.sock"])
    def test_an_endpoint_that_is_docker_s_is_no_cri(self, root: Path, name: str) -> None:
        """Of old crictl was given it; a link to it under another name is one too."""
        if name == "var/run/dockershim.sock":
            (root / "run/dockershim.sock").symlink_to("docker.sock")
            name = "run/dockershim.sock"
        place = list_places(None, {"CONTAINER_RUNTIME_ENDPOINT": f"unix://{root}/{name}"}, str(root))[0]
        assert (place.state, place.reason) == (PlaceState.LEFT_OUT, "speaks Docker's API and no CRI")
        assert asked(root, CONTAINER_RUNTIME_ENDPOINT=f"unix://{root}/{name}") == [DOCKER, PODMAN]

    @pytest.mark.parametrize("host", ["tcp://127.0.0.1:2375", "ssh://host", "fd://", "nonsense", "unix:///a\0b"])
    def test_a_variable_that_suits_docker_is_never_a_usage_error(self, tmp_path: Path, host: str) -> None:
        """What cannot be asked becomes a gap when it is asked."""
        assert asked(tmp_path, DOCKER_HOST=host) == [f"docker {host}"]

    def test_an_empty_variable_is_not_set(self, tmp_path: Path) -> None:
        names = ("DOCKER_HOST", "CONTAINER_HOST", "CONTAINER_RUNTIME_ENDPOINT", "XDG_RUNTIME_DIR")
        assert asked(tmp_path, **dict.fromkeys(names, "")) == []

    def test_its_paths_are_taken_as_they_are(self, root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        own = make_socket(tmp_path_factory.mktemp("own"), "docker.sock")
        assert asked(root, DOCKER_HOST=f"unix://{own}") == [f"docker unix://{own}", DOCKER, PODMAN]


class TestOption:
    """--runtime."""

    def test_nothing_else_is_asked(self, root: Path) -> None:
        assert asked(root, "podman=unix:///x.sock", DOCKER_HOST="unix:///y") == ["podman unix:///x.sock"]
        assert asked(root, "none", DOCKER_HOST="unix:///y") == []

    def test_the_order_is_that_of_the_option(self, root: Path) -> None:
        option = "logs=/l,bundles=/b,cri=/c.sock,docker=tcp://h:1,docker=/d.sock"
        assert asked(root, option) == [
            "logs /l",
            "bundles /b",
            "cri unix:///c.sock",
            "docker tcp://h:1",
            "docker unix:///d.sock",
        ]

    def test_a_kind_alone_stands_for_its_usual_places_that_are_there(self, root: Path) -> None:
        for path in CRI_SOCKETS[1:3]:
            make_socket(root, path)
        (root / "var/log/containers").mkdir(parents=True)
        assert asked(root, "logs,docker,cri") == [
            LOGS,
            DOCKER,
            *(f"cri unix:///{path}" for path in CRI_SOCKETS[1:3]),
        ]

    def test_a_kind_alone_that_is_nowhere_is_asked_at_its_first_place(self, tmp_path: Path) -> None:
        (tmp_path / "run/containerd/containerd.sock").mkdir(parents=True)
        assert asked(tmp_path, "cri,bundles,podman") == [CONTAINERD, BUNDLES, PODMAN]

    @pytest.mark.parametrize(
        ("text", "pairs"),
        [
            ("none", ()),
            ("docker", (("docker", None),)),
            ("docker=/run/d.sock", (("docker", "unix:///run/d.sock"),)),
            ("docker=unix:///a=b, podman=tcp://h:1", (("docker", "unix:///a=b"), ("podman", "tcp://h:1"))),
            ("cri=unix:///c, bundles=/b, logs=/l", (("cri", "unix:///c"), ("bundles", "/b"), ("logs", "/l"))),
            ("logs,cri=", (("logs", None), ("cri", None))),
        ],
    )
    def test_its_text(self, text: str, pairs: tuple[tuple[str, str | None], ...]) -> None:
        assert parse_runtime_option(text) == pairs

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "rkt=unix:///x",
                "'rkt'; expected docker, podman, cri, bundles, logs, as in docker=unix:///run/docker.sock, or none",
            ),
            ("", "unknown kind ''"),
            ("docker=unix:///x,", "unknown kind ''"),
            ("none,docker", "unknown kind 'none'"),
            ("docker=ssh://host", "'ssh://host' cannot be asked; expected unix:///PATH or tcp://HOST:PORT"),
            ("cri=unix://", "'unix://' cannot be asked"),
            ("docker=host", "'host' cannot be asked"),
            ("bundles=unix:///run", "'unix:///run' is no directory; expected a path like /run"),
            ("logs=log", "'log' is no directory"),
        ],
    )
    def test_one_that_is_none_says_what_is(self, text: str, message: str) -> None:
        with pytest.raises(UsageError) as raised:
            list_places(text, {})
        assert message in str(raised.value)


def test_a_source_knows_whether_somebody_asked_for_it(root: Path) -> None:
    """One that was found and turns out to be another engine's is then no gap."""
    places = list_places(None, {"DOCKER_HOST": "unix:///nonexistent"}, str(root))
    assert [place.named for place in places if place.state is PlaceState.ASKED] == [True, False, False]
    (chosen,) = list_places("logs=/l", {}, str(root))
    assert chosen.named


def test_the_usual_directories_lie_where_engines_and_kubelets_make_them_below_any_root(tmp_path: Path) -> None:
    places = [place for place in list_places(None, {}, str(tmp_path)) if place.kind in ("bundles", "logs")]
    assert [place.address for place in places] == [
        f"{tmp_path}/{directory}"
        for directory in (
            "run/containerd/io.containerd.runtime.v2.task",
            "run/k3s/containerd/io.containerd.runtime.v2.task",
            "run/k0s/containerd/io.containerd.runtime.v2.task",
            "var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task",
            "run/docker/containerd/daemon/io.containerd.runtime.v2.task",
            "run/containers/storage/overlay-containers",
            "var/log/containers",
        )
    ]
