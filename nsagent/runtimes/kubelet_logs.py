"""The links that a kubelet makes in /var/log/containers: the names of its pods' containers, without any runtime.

Source: Kubernetes, pkg/kubelet/kuberuntime/legacy.go, logSymlink(), and helpers.go,
BuildPodLogsDirectory(). `POD_KUBENAMESPACE_CONTAINER-ID.log` leads to
`/var/log/pods/KUBENAMESPACE_POD_UID/CONTAINER/RESTARTS.log`, which cri-dockerd makes a link itself.
Only the first of them is looked at, as a text: what it leads to need not exist where this runs.

What does not fit into 255 bytes the kubelet cuts off at the end, where the id is. A link that was
cut tells of no container, then, and the path that it leads to holds no id either.
"""

import os
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from nsagent.model.container import Container, NameState, Pod
from nsagent.model.ids import OCI_ID, ContainerId, PodUid
from nsagent.runtimes.directory_source import ENTRY_LIMIT, DirectorySource, list_entries

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SUBDOMAIN: Final = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
_LINK: Final = re.compile(rf"({_SUBDOMAIN})_({_LABEL})_({_LABEL})-({OCI_ID})\.log")
# Who writes a static pod's manifest may choose its uid.
_POD_DIRECTORY: Final = re.compile(rf"({_LABEL})_({_SUBDOMAIN})_([0-9A-Za-z][0-9A-Za-z.-]{{0,252}})")


class LogLink(NamedTuple):
    """What the name of a link tells."""

    pod_name: str
    kube_namespace: str
    container_name: str
    id: ContainerId


def parse_link_name(name: str) -> LogLink | None:
    """The container that a link in /var/log/containers is called after; None if it is no such link, or was cut."""
    match = _LINK.fullmatch(name)
    return LogLink(match[1], match[2], match[3], ContainerId(match[4])) if match else None


def parse_pod_directory(name: str) -> Pod | None:
    """The pod whose logs are in a directory of this name below /var/log/pods; None if it is of another form.

    The uid is the kubelet's own: a static pod's is its config hash, unless its manifest says otherwise.
    """
    match = _POD_DIRECTORY.fullmatch(name)
    return Pod(PodUid(match[3]), match[2], match[1]) if match else None


class LogLinkSource(DirectorySource):
    """The links of one directory: the containers that they are called after, by name, those that ended among them.

    A log proves nothing: it stays for a while when its container has ended, and who may write
    there can make another. The records are not verified. What is called otherwise is left out. The
    pod's uid is None where the link's target is not the one that a kubelet makes for that name.
    """

    def __init__(
        self, directory: str, name: str = "logs", *, named: bool = True, entry_limit: int = ENTRY_LIMIT
    ) -> None:
        super().__init__(directory, name, named=named, entry_limit=entry_limit)

    def _read(self, descriptor: int) -> tuple[Container, ...]:
        containers: dict[ContainerId, Container] = {}
        for container in self._read_links(descriptor):
            containers.setdefault(container.id, container)
        return tuple(containers.values())

    def _read_links(self, descriptor: int) -> Iterator[Container]:
        """One record for each link; costs 12 us each, of which readlink(2) takes one."""
        for name in list_entries(descriptor, self.entry_limit):
            self.check_wanted()
            link = parse_link_name(name)
            if link is not None:
                yield Container(
                    id=link.id,
                    name=link.container_name,
                    name_state=NameState.KNOWN,
                    runtime=None,
                    image=None,
                    verified=False,
                    source=self.name,
                    pod=Pod(_read_uid(descriptor, name, link), link.pod_name, link.kube_namespace),
                    container_name=link.container_name,
                )


def _read_uid(descriptor: int, name: str, link: LogLink) -> PodUid | None:
    """The pod's uid by the target of a link; None if it is gone, is no link, or leads elsewhere than a kubelet's."""
    try:
        directory, container_name = os.readlink(name, dir_fd=descriptor).split("/")[-3:-1]
    except (OSError, ValueError):
        return None
    pod = parse_pod_directory(directory)
    if pod is None or (pod.name, pod.kube_namespace, container_name) != link[:3]:
        return None
    return pod.uid
