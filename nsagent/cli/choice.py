"""The options that choose containers, as values."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nsagent.query.filter import Filter


def make_choice(
    container: list[str] | None, pod: list[str] | None, kube_namespace: list[str] | None, label: list[str] | None
) -> "Filter":
    """The filter of `-c`, `--pod`, `-n` and `-l` as typed; raises UsageError."""
    from nsagent.query.filter import Filter, split_values
    from nsagent.query.labels import parse_labels

    return Filter(
        containers=split_values(container, "--container"),
        pods=split_values(pod, "--pod"),
        kube_namespaces=split_values(kube_namespace, "--kube-namespace"),
        labels=parse_labels(label),
    )
