"""`nsagent containers`: the containers of the host."""

import os
from pathlib import Path

from nsagent.cli import options as opt
from nsagent.cli.answer import About, make_output_options
from nsagent.cli.answer_command import answer
from nsagent.cli.choice import make_choice
from nsagent.cli.read import ReadOptions
from nsagent.model.choices import ColourWhen, EngineName, OutputFormat


def containers(
    container: opt.Container = None,
    pod: opt.PodOption = None,
    kube_namespace: opt.KubeNamespace = None,
    label: opt.Label = None,
    runtime: opt.RuntimeOption = None,
    host_root: opt.HostRoot = Path("/"),
    proc_root: opt.ProcRoot = Path("/proc"),
    from_file: opt.FromFile = None,
    capture: opt.CaptureFile = None,
    output: opt.Output = OutputFormat.TABLE,
    no_headers: opt.NoHeaders = False,
    sort_by: opt.SortBy = None,
    columns: opt.Columns = None,
    color: opt.Colour = ColourWhen.AUTO,
    strict: opt.Strict = False,
    debug: opt.Debug = False,
) -> None:
    """The containers of this host, in which netns they are, and who told their names."""
    from nsagent.query.select import select_containers

    choice = make_choice(container, pod, kube_namespace, label)
    answer(
        About.CONTAINERS,
        ReadOptions(
            EngineName.AUTO,
            runtime,
            proc_root,
            from_file,
            capture,
            host_root=host_root,
            only=choice if choice.chooses_containers else None,
        ),
        make_output_options(output, columns, sort_by, no_headers=no_headers, colour=color, environ=os.environ),
        lambda snapshot: select_containers(snapshot, choice),
        strict=strict,
    )
