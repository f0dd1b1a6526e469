"""`nsagent manifests`: the Kubernetes manifests of this version, as they came with it."""

import os
from enum import StrEnum
from typing import Annotated

import typer

import nsagent
from nsagent.cli.options import Debug
from nsagent.cli.write import write_answer


class Profile(StrEnum):
    """What the pods may do, and so what they see."""

    BASE = "base"
    OBSERVER = "observer"
    EVENTS = "events"


ProfileName = Annotated[
    Profile, typer.Argument(metavar="[PROFILE]", case_sensitive=False, help="base, observer or events.")
]


def manifests(*, profile: ProfileName = Profile.BASE, debug: Debug = False) -> None:
    """Print what `kubectl apply -f -` takes to run the agent on every node, for Kubernetes 1.30 or newer.

    base sees everything but netns that only a socket keeps, which events sees too; observer goes without
    hostPID and CAP_SYS_ADMIN, and reads /proc alone.
    """
    # A wheel has them in the package, a checkout beside it.
    package = os.path.dirname(os.path.abspath(nsagent.__file__))
    directory = os.path.join(package, "manifests")
    if not os.path.isdir(directory):
        directory = os.path.join(os.path.dirname(package), "manifests")
    with open(os.path.join(directory, "profiles", f"{profile}.yaml"), encoding="utf-8") as file:
        write_answer(file)
