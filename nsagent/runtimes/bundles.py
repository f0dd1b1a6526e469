"""The OCI bundles of containers on disk: their names by the annotations in config.json, without any runtime.

Source: the OCI runtime specification, config.md; containerd, core/runtime/v2/bundle.go and
internal/cri/annotations; CRI-O, server/sandbox_run_linux.go and internal/factory/container;
nerdctl, pkg/labels. Two layouts are read, told apart by what the directory holds:

- containerd's `NAMESPACE/ID/config.json`. What its CRI plugin annotates grew: first the type, the
  sandbox's id and its log directory; the container's name since 1.4; the pod's name, its
  kube_namespace and the image since 1.5; the pod's uid since 1.7 and in late releases of 1.6. These
  count in the namespace `k8s.io` only: elsewhere who starts a container annotates what they like.
- `ID/userdata/config.json` of CRI-O and podman. CRI-O adds the annotations of a pod after its own,
  and the labels last: so what it is called is read from labels, which the kubelet sets. No annotation
  is safe from those of a pod, not CRI-O's text of all the kubelet's either.

config.json holds the environment of a process too, with secrets: of all that nothing is kept.
"""

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from nsagent.errors import Reason
from nsagent.identity.pod_labels import CONFIG_HASH, CONFIG_SOURCE, CONTAINER_NAME, POD_UID, read_pod
from nsagent.identity.sandboxed import name_sandbox
from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.ids import ContainerId, PodUid, is_oci_id
from nsagent.runtimes.directory_source import (
    ENTRY_LIMIT,
    ERRNOS_OF_ALL,
    DirectorySource,
    list_entries,
    read_file,
)
from nsagent.runtimes.kubelet_logs import parse_pod_directory
from nsagent.runtimes.nerdctl import NerdctlNames
from nsagent.runtimes.source import LeftOut

_CONFIG_BYTES: Final = 1024 * 1024
_PROGRAM_BYTES: Final = 4096
_TEXT_LENGTH: Final = 1024

_DIRECTORY_FLAGS: Final = os.O_DIRECTORY | os.O_NOFOLLOW

_CRI_NAMESPACE: Final = "k8s.io"
_RUNTIME_OF_NAMESPACE: Final = {"moby": Runtime.DOCKER, "plugins.moby": Runtime.DOCKER}
_RUNTIME_OF_MANAGER: Final = {"cri-o": Runtime.CRIO, "libpod": Runtime.PODMAN}
_CRIO_INFRA_NAME: Final = "POD"
_KUBELET_ANNOTATIONS: Final = (CONFIG_HASH, CONFIG_SOURCE)
_KUBELET_LABELS: Final = (
    CONTAINER_NAME,
    "io.kubernetes.pod.name",
    "io.kubernetes.pod.namespace",
    POD_UID,
)


class BundleSource(DirectorySource):
    """One directory of bundles: the containers that have one, by namespace and id.

    Left out is a bundle that is damaged (`left_out` tells which) or was removed meanwhile, and an id that is not 64 hex
    digits, as ctr(8) makes them: no cgroup path shows such a one. CRI-O and podman keep the
    bundle of a container that has ended until they remove the container. If there are bundles and
    none of them may be read, that is told. `root` is where the root directory of the host is seen, below
    which nerdctl has its names.
    """

    def __init__(
        self,
        directory: str,
        name: str = "bundles",
        *,
        named: bool = True,
        entry_limit: int = ENTRY_LIMIT,
        root: str = "/",
    ) -> None:
        super().__init__(directory, name, named=named, entry_limit=entry_limit)
        self._root = root
        self.left_out: Sequence[LeftOut] = ()

    def _read(self, descriptor: int) -> tuple[Container, ...]:
        names = NerdctlNames(self._root, self.check_wanted, self.entry_limit)
        walk = _Walk(self.name, self.check_wanted, self.entry_limit, names)
        containers = _spread_kernels(walk.run(descriptor))
        self.left_out = walk.left_out
        return containers


def parse_annotations(config: bytes) -> Mapping[str, object] | None:
    """The annotations in the text of a config.json, {} if it has none; None if it is damaged.

    Bytes that are not UTF-8 become surrogate escapes.
    """
    try:
        spec = json.loads(config.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    annotations = spec.get("annotations", {}) if isinstance(spec, dict) else None
    return annotations if isinstance(annotations, dict) else None


class _Bundle(NamedTuple):
    """What is read of one bundle.

    `namespace` is containerd's, None in the layout of CRI-O and podman. `programs` are what runs
    the container, each by its path or its name: the shim, and what the shim was told to start.
    """

    id: ContainerId
    namespace: str | None
    annotations: Mapping[str, object]
    programs: tuple[str, ...] = ()


class _Found(NamedTuple):
    """A container, and the id of the sandbox that it is in."""

    container: Container
    sandbox_id: str | None


class _Told(NamedTuple):
    """What annotations tell; `handler` is that of the pod's RuntimeClass."""

    pod: Pod | None = None
    container_name: str | None = None
    sandbox: bool = False
    sandbox_id: str | None = None
    image: str | None = None
    handler: str = ""


def _describe(bundle: _Bundle, source: str, names: NerdctlNames) -> _Found:
    """The container that a bundle is of."""
    runtime = _find_runtime(bundle)
    told = _Told()
    if runtime is Runtime.CRIO:
        told = _read_crio(bundle.annotations)
    elif bundle.namespace == _CRI_NAMESPACE:
        told = _read_cri(bundle.annotations)
    name = told.pod.name if told.sandbox and told.pod else told.container_name
    if name is None and runtime is Runtime.CONTAINERD:
        name = _find_nerdctl_name(bundle, names)
    container = Container(
        id=bundle.id,
        name=name,
        name_state=NameState.UNKNOWN if name is None else NameState.KNOWN,
        runtime=runtime,
        image=told.image,
        verified=True,
        source=source,
        sandboxed=next(filter(None, map(name_sandbox, (*bundle.programs, told.handler))), None),
        pod=told.pod,
        container_name=told.container_name,
        sandbox=told.sandbox,
    )
    return _Found(container, told.sandbox_id)


def _find_nerdctl_name(bundle: _Bundle, names: NerdctlNames) -> str | None:
    """What nerdctl calls a container of containerd's."""
    name, state = (_read_text(bundle.annotations, f"nerdctl/{key}") for key in ("name", "state-dir"))
    return names.find_name(bundle.id, bundle.namespace or "", name, state) if name and state else None


def _spread_kernels(found: Collection[_Found]) -> tuple[Container, ...]:
    """The containers; what is in a sandbox with a kernel of its own is sandboxed with it.

    What runs the containers of a pod is told by its sandbox alone in containerd 2 and in CRI-O.
    """
    kernels = {container.id: container.sandboxed for container, _ in found if container.sandboxed}
    return tuple(
        container._replace(sandboxed=container.sandboxed or kernels[ContainerId(sandbox_id)])
        if sandbox_id in kernels
        else container
        for container, sandbox_id in found
    )


def _find_runtime(bundle: _Bundle) -> Runtime | None:
    """The runtime, by containerd's namespace or by what CRI-O and podman say of themselves."""
    if bundle.namespace is not None:
        return _RUNTIME_OF_NAMESPACE.get(bundle.namespace, Runtime.CONTAINERD)
    return _RUNTIME_OF_MANAGER.get(_read_text(bundle.annotations, "io.container.manager") or "")


def _read_cri(annotations: Mapping[str, object]) -> _Told:
    """The annotations of containerd's CRI plugin; a sandbox's log directory tells what an old one does not."""

    def read(key: str) -> str | None:
        return _read_text(annotations, f"io.kubernetes.cri.{key}")

    sandbox = read("container-type") == "sandbox"
    logged = parse_pod_directory((read("sandbox-log-directory") or "").rpartition("/")[2]) or Pod(None)
    uid = read("sandbox-uid")
    pod = Pod(
        uid=logged.uid if uid is None else PodUid(uid),
        name=read("sandbox-name") or logged.name,
        kube_namespace=read("sandbox-namespace") or logged.kube_namespace,
    )
    return _Told(
        pod=None if pod == Pod(None) else pod,
        container_name=None if sandbox else read("container-name"),
        sandbox=sandbox,
        sandbox_id=read("sandbox-id"),
        image=read("podsandbox.image-name" if sandbox else "image-name"),
    )


def _read_crio(annotations: Mapping[str, object]) -> _Told:
    """The annotations of CRI-O, each label among them; what it says itself counts where the kubelet says nothing."""

    def read(key: str) -> str | None:
        return _read_text(annotations, f"io.kubernetes.cri-o.{key}")

    own = {key: text for key in _KUBELET_LABELS if (text := _read_text(annotations, key))}
    name = own.get(CONTAINER_NAME)
    sandbox = (name == _CRIO_INFRA_NAME) if name else (read("ContainerType") == "sandbox")
    config = {key: text for key in _KUBELET_ANNOTATIONS if (text := _read_text(annotations, key))}
    # A label may stand in the place of either. Kubelets give a static pod its hash for a uid, which no label forges.
    if config.get(CONFIG_HASH) != own.get(POD_UID):
        config = {}
    return _Told(
        pod=read_pod({**(_read_crio_labels(annotations) if sandbox else {}), **own}, config, sandbox=sandbox),
        container_name=None if sandbox else name,
        sandbox=sandbox,
        sandbox_id=read("SandboxID"),
        image=read("ImageName") or read("Image"),
        handler=read("RuntimeHandler") or "",
    )


def _read_crio_labels(annotations: Mapping[str, object]) -> dict[str, str]:
    """The labels of a sandbox, which CRI-O has as one JSON text too.

    A pod's annotation can stand in the place of that text. It is believed where it agrees with
    what each true label is: an annotation of its own.
    """
    text = annotations.get("io.kubernetes.cri-o.Labels")
    try:
        labels = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(labels, dict):
        return {}
    return {key: value for key, value in labels.items() if value and _read_text(annotations, key) == value}


def _read_text(annotations: Mapping[str, object], key: str) -> str | None:
    """A value that is a text of sensible length, else None."""
    value = annotations.get(key)
    return value if isinstance(value, str) and 0 < len(value) <= _TEXT_LENGTH else None


class _Walk:
    """One reading of a directory of bundles; costs 70 us for each, half of it json.loads()."""

    def __init__(self, source: str, check_wanted: Callable[[], None], entry_limit: int, names: NerdctlNames) -> None:
        self._names = names
        self._source = source
        self._check_wanted = check_wanted
        self._entries_left = entry_limit
        self.left_out: list[LeftOut] = []
        self._found: dict[ContainerId, _Found] = {}
        self._denied: PermissionError | None = None

    def run(self, top: int) -> Collection[_Found]:
        """What has a bundle below the directory `top`, in order. Raises OSError and RuntimeUnavailable."""
        for name in self._list(top):
            if is_oci_id(name):
                self._look_at(top, ContainerId(name), None)
            else:
                self._read_namespace(top, name)
        if self._denied is not None and not self._found:
            raise self._denied
        return self._found.values()

    def _read_namespace(self, top: int, name: str) -> None:
        """The bundles of one namespace of containerd; of a file or a link there are none."""
        try:
            namespace = os.open(name, os.O_RDONLY | _DIRECTORY_FLAGS, dir_fd=top)
        except OSError as err:
            self._note(err)
            return
        try:
            for id_ in self._list(namespace):
                if is_oci_id(id_):
                    self._look_at(namespace, ContainerId(id_), name)
        finally:
            os.close(namespace)

    def _look_at(self, parent: int, id_: ContainerId, namespace: str | None) -> None:
        """Read one bundle; what is wrong with it costs no other one."""
        self._check_wanted()
        try:
            bundle = _read_bundle(parent, id_, namespace)
        except OSError as err:
            self._note(err)
        else:
            if isinstance(bundle, Reason):
                self.left_out.append(LeftOut(bundle, id_))
            elif bundle is not None:
                self._found.setdefault(id_, _describe(bundle, self._source, self._names))

    def _list(self, directory: int) -> list[str]:
        """The names in a directory, of which all that were listed together may have so many."""
        names = list_entries(directory, self._entries_left)
        self._entries_left -= len(names)
        return names

    def _note(self, err: OSError) -> None:
        """Remember that something may not be read; raise what is no fault of the bundle."""
        if err.errno in ERRNOS_OF_ALL:
            raise err
        if isinstance(err, PermissionError):
            self._denied = err


def _read_bundle(parent: int, id_: ContainerId, namespace: str | None) -> _Bundle | Reason | None:
    """The bundle in the directory `id_` of `parent`; None if it has no config.json, or why that tells nothing.

    Raises OSError.
    """
    directory = os.open(id_, os.O_PATH | _DIRECTORY_FLAGS, dir_fd=parent)
    try:
        if namespace is None:
            outer, directory = directory, os.open("userdata", os.O_PATH | _DIRECTORY_FLAGS, dir_fd=directory)
            os.close(outer)
        config = read_file(directory, "config.json", _CONFIG_BYTES)
        if not isinstance(config, bytes):
            return config
        annotations = parse_annotations(config)
        if annotations is None:
            return Reason.MALFORMED
        programs = () if namespace is None else tuple(_read_programs(directory))
        return _Bundle(id_, namespace, annotations, programs)
    finally:
        os.close(directory)


def _read_programs(directory: int) -> Iterator[str]:
    """What runs the container of a bundle of containerd: its shim (since 1.6), and what runc's shim starts for runc."""
    for name in ("shim-binary-path", "runtime"):
        try:
            program = read_file(directory, name, _PROGRAM_BYTES)
        except PermissionError:
            # They are the runtime's alone, where config.json is everybody's.
            continue
        if isinstance(program, bytes):
            yield program.decode("utf-8", "surrogateescape")
