"""What is made of the chart: the manifests to apply, the config for a pod, and the page about the values.

`python -m tests.manifests.made` (`make chart`) writes it anew; test_made.py compares.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import nsagent
from nsagent.config.sample import SAMPLE
from tests.manifests.tools import CHART, template
from tests.manifests.values_page import write_values_page

MANIFESTS = CHART.parent
PROFILES = ("base", "observer", "events")

_HEAD = """\
# nsagent {version} on every node of a cluster, with the rights of profile `{profile}`; for Kubernetes 1.30 and newer.
#   sed 's|"nsagent:{version}"|"REGISTRY/nsagent:{version}"|' {name} | kubectl apply -f -
# REGISTRY is where the nodes get the image that you built: docs/install.md.
# Made from chart/ by `make chart`. docs/security.md tells what is granted, and what that is worth.
"""

_FOR_PODS = {
    "# What `nsagent config init` prints, and `nsagent run` does.": "# What the agent on each node does.",
    """\
# Metrics and health, for this host only; another address than a loopback one, or the pod's own, needs a token_file.
# http: {listen: "127.0.0.1:9469"}
""": """\
# Metrics and health at the address of the pod, of IPv6 or not: probes and Prometheus ask there, without a token. All
# else takes a token_file.
http: {listen: "[${POD_IP}]:9469"}
""",
    "/etc/nsagent/token": "/etc/nsagent-token/token",
}
"""Parts of the sample, and what a pod has in their place."""


def make_pod_config(sample: str = SAMPLE) -> str:
    """The sample with the address of a pod; raises ValueError where the sample has other words by now."""
    config = sample
    for part, other in _FOR_PODS.items():
        if config.count(part) != 1:
            raise ValueError(f"not once in the sample: {part}")
        config = config.replace(part, other)
    return config


def make_manifest(name: str, profile: str) -> str:
    """All objects of a profile, the namespace first, under a head."""
    rendered = template("--set", f"namespace.create=true,profile={profile}")
    documents = re.split(r"^---\n# Source: .*\n", rendered, flags=re.MULTILINE)
    head = _HEAD.format(version=nsagent.__version__, profile=profile, name=name)
    return head + "---\n".join(document.strip() + "\n" for document in documents if document.strip())


def list_made() -> Iterator[tuple[Path, str]]:
    """Every file, and what it has to hold; each is made of those before it."""
    yield CHART / "files" / "config.yaml", make_pod_config()
    yield CHART / "README.md", write_values_page((CHART / "values.yaml").read_text())
    yield MANIFESTS / "install.yaml", make_manifest("install.yaml", "base")
    for profile in PROFILES:
        yield MANIFESTS / "profiles" / f"{profile}.yaml", make_manifest(f"profiles/{profile}.yaml", profile)


def main() -> None:
    """Write every file."""
    for file, text in list_made():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
