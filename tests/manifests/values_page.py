"""The page about the chart's values, made of the comments that stand above them in values.yaml."""

import json
from collections.abc import Iterator

import yaml

_HEAD = """\
# The chart

nsagent as a DaemonSet, one agent a node. From a checkout:

```text
helm install nsagent manifests/chart --namespace nsagent --create-namespace
kubectl label namespace nsagent pod-security.kubernetes.io/enforce=privileged
```

Without Helm, `manifests/install.yaml` is the same with the namespace and its label, for `kubectl apply` once your
image stands in it (docs/install.md); `manifests/profiles/` has a file for each profile, and `nsagent manifests PROFILE`
prints it. Each mount, capability and flag there says which read needs it. This page is made of `values.yaml` by
`make chart`.

| value | default | meaning |
|---|---|---|
"""


def write_values_page(text: str) -> str:
    """The page; raises ValueError for a value without a comment."""
    root = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return _HEAD + "".join(_list_rows(root, text.splitlines(), ""))


def _list_rows(section: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[str]:
    for key, value in section.value:
        name = f"{prefix}{key.value}"
        comment = _read_comment(lines, key.start_mark.line)
        if isinstance(value, yaml.MappingNode) and value.value and not value.flow_style and not comment:
            yield from _list_rows(value, lines, f"{name}.")
            continue
        if not comment:
            raise ValueError(f"{name}: expected a comment above it")
        default = json.dumps(yaml.safe_load(yaml.serialize(value))).replace("|", "\\|")
        yield f"| `{name}` | `{default}` | {comment.replace('|', chr(92) + '|')} |\n"


def _read_comment(lines: list[str], line: int) -> str:
    """The lines of comment right above a line, as one."""
    found: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].lstrip().removeprefix("#").strip())
    return " ".join(word for word in found if word)
