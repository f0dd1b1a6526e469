"""The config in the ConfigMap is one for its pod: the agent loads it there, and may write where it says."""

from pathlib import PurePosixPath
from typing import Any

import pytest

from nsagent.agent.config_file import ConfigFile, Identity, load_config
from nsagent.config.model import Config, FileOutput
from nsagent.config.texts import parse_listen
from tests.manifests.made import MANIFESTS, PROFILES
from tests.manifests.rules import parse_objects


def read_profile(profile: str) -> tuple[str, Any]:
    """The config of a profile, and its container."""
    objects = {each["kind"]: each for each in parse_objects((MANIFESTS / "profiles" / f"{profile}.yaml").read_text())}
    (container,) = objects["DaemonSet"]["spec"]["template"]["spec"]["containers"]
    return objects["ConfigMap"]["data"]["config.yaml"], container


def load(text: str, environ: dict[str, str]) -> Config:
    return load_config(ConfigFile("config.yaml", text.encode(), Identity(0, 0, 0, 0, "")), environ)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("pod_ip", ["10.1.2.3", "fd00::3"])
def test_the_agent_takes_it_whatever_the_address_of_the_pod(profile: str, pod_ip: str) -> None:
    text, container = read_profile(profile)
    config = load(text, {"POD_IP": pod_ip})
    assert config.http is not None
    assert str(parse_listen(config.http.listen).address) == pod_ip
    assert parse_listen(config.http.listen).port == container["ports"][0]["containerPort"]


def test_variables_that_it_needs_are_those_of_the_pod() -> None:
    text, container = read_profile("base")
    load(text, {each["name"]: "10.1.2.3" for each in container["env"]})


@pytest.mark.parametrize("profile", PROFILES)
def test_the_agent_reads_it_where_it_is_mounted_as_a_directory(profile: str) -> None:
    _, container = read_profile(profile)
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "config"]
    assert mount == {"name": "config", "mountPath": "/etc/nsagent", "readOnly": True}
    assert container["args"] == ["run", "--config", "/etc/nsagent/config.yaml"]


@pytest.mark.parametrize("profile", PROFILES)
def test_it_writes_where_the_pod_may_and_nowhere_else(profile: str) -> None:
    text, container = read_profile(profile)
    config = load(text, {"POD_IP": "10.1.2.3"})
    files = [output.path for report in config.reports for output in report.outputs if isinstance(output, FileOutput)]
    assert config.history is not None
    assert config.socket is not None
    writable = [each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")]
    assert writable == ["/var/lib/nsagent", "/run"]
    for path in (*files, config.history.path):
        assert PurePosixPath(path).parent == PurePosixPath("/var/lib/nsagent")
    # The agent makes this directory itself, as its own alone: an emptyDir is open to others.
    assert PurePosixPath(config.socket).parent == PurePosixPath("/run/nsagent")
