"""What no container has of what was asked for, in words."""

import pytest

from nsagent.model.unmet import Unmet, UnmetKind
from nsagent.report.unmet import unmet_lines

NOWHERE = "no container is known to be of a pod in it"
NO_LABELS = "no container is known to have such labels"


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (UnmetKind.KUBE_NAMESPACE, "prod", f"--kube-namespace prod: {NOWHERE}"),
        (UnmetKind.LABEL, "app=web,!old", f"--label app=web,!old: {NO_LABELS}"),
        (UnmetKind.LABEL, "a\x1b[31m", rf"--label a\x1b[31m: {NO_LABELS}"),
    ],
)
def test_each_is_one_line(kind: UnmetKind, text: str, said: str) -> None:
    assert unmet_lines([Unmet(kind, text)]) == [said]


@pytest.mark.parametrize(
    ("kind", "text", "flags", "options"),
    [
        (UnmetKind.LABEL, "tnp", "-ltnp", " --listening --protocol tcp"),
        (UnmetKind.LABEL, "-tun", "-ltun", " --listening --protocol tcp,udp"),
        (UnmetKind.KUBE_NAMESPACE, "tlp", "-ntlp", " --listening --protocol tcp"),
        (UnmetKind.KUBE_NAMESPACE, "tp", "-ntp", " --state connected --protocol tcp"),
        (UnmetKind.KUBE_NAMESPACE, "ap", "-nap", ""),
    ],
)
def test_what_may_be_flags_of_ss_is_told_with_what_is_written_here(
    kind: UnmetKind, text: str, flags: str, options: str
) -> None:
    (line,) = unmet_lines([Unmet(kind, text)])
    assert line.partition("; ")[2] == f"what ss {flags} shows: nsagent scan{options}"


@pytest.mark.parametrize("text", ["test", "shop", "tnp=1", "t n"])
def test_what_are_no_flags_of_ss_is_told_without(text: str) -> None:
    assert [";" in line for line in unmet_lines([Unmet(kind, text) for kind in UnmetKind])] == [False, False]
