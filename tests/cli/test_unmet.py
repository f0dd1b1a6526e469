"""A label, or a Kubernetes namespace, that no container has: an answer like any other, and a line that says so."""

from typing import Final

import pytest

from tests.cli.conftest import Run

PODS: Final = "fixtures/captures/pods.json.gz"
TOLD: Final = "nsagent: --label tnp: no container is known to have such labels"


@pytest.mark.parametrize("command", [("scan",), ("containers",), ("port", "8080")])
def test_a_label_that_no_container_has_is_told(run_cli: Run, command: tuple[str, ...]) -> None:
    ran = run_cli(*command, "--from", PODS, "--no-headers", "-ltnp")
    shows = "what ss -ltnp shows: nsagent scan --listening --protocol tcp"
    assert (ran.status, ran.out, ran.err) == (0, "", f"{TOLD}; {shows}\n")


def test_a_kube_namespace_without_a_container_is_told(run_cli: Run) -> None:
    ran = run_cli("scan", "--from", PODS, "--no-headers", "-n", "prod")
    told = "nsagent: --kube-namespace prod: no container is known to be of a pod in it\n"
    assert (ran.status, ran.out, ran.err) == (0, "", told)


@pytest.mark.parametrize("chosen", [("-l", "app=web"), ("-n", "shop"), ("-l", "!tnp"), ("-c", "nginx", "-n", "shop")])
def test_what_some_container_has_is_nothing_to_be_told(run_cli: Run, chosen: tuple[str, ...]) -> None:
    ran = run_cli("scan", "--from", PODS, *chosen)
    assert (ran.status, ran.err) == (0, "")


def test_of_two_captures_one_may_have_it(run_cli: Run) -> None:
    docker = "fixtures/captures/docker.json.gz"
    assert TOLD in run_cli("diff", docker, PODS, "-ltnp").err
    assert "--kube-namespace" not in run_cli("diff", docker, PODS, "-n", "shop").err


@pytest.mark.parametrize("command", [("watch", "--duration", "0s"), ("inspect",)])
def test_what_is_asked_of_this_host_is_told_too(on_node: Run, command: tuple[str, ...]) -> None:
    ran = on_node(*command, "-l", "tnp")
    assert (ran.status, TOLD in ran.err) == (0, True)
