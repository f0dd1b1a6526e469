"""`nsagent capture FILE`: the facts of one pass, kept."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from nsagent.cli.options import Debug, Engine, Host, HowFar
from nsagent.cli.read import read
from nsagent.errors import UsageError
from nsagent.model.choices import EngineName


def capture(
    *,
    file: Annotated[
        Path,
        typer.Argument(readable=False, metavar="FILE", help="Where to write it; replaced as a whole; - for stdout."),
    ],
    engine: Engine = EngineName.AUTO,
    host: Host,
    how_far: HowFar,
    debug: Debug = False,
) -> None:
    """Keep the raw facts of one pass in FILE, interfaces included; read it back with --from FILE.

    The file names every process and socket of this host: it is readable by its owner only.
    """
    from nsagent.cli.write import write_bytes
    from nsagent.scan.capture import encode_capture
    from nsagent.scan.capture_file import STDIO
    from nsagent.scan.take import take_facts

    kept = None if file == STDIO else file
    if kept is None and sys.stdout.isatty():
        raise UsageError("FILE: - is stdout, which is a terminal")
    tables = how_far.make_wanted()._replace(own_addresses=True)
    request = replace(host.make_request(), engine=engine, interfaces=True, tables=tables, capture=kept)
    # Whoever reads it back may ask for what this pass could do without.
    facts = read(take_facts, request, host, labels_wanted=True)
    if kept is None:
        write_bytes(encode_capture(facts))
