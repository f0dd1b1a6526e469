"""`output_forks.py GATE`: forks a writer of one report, which imports nothing, for each line KIND<tab>DIRECTORY.

Each child is said by its PID, and waits for a byte on the fd GATE before it writes. When it has ended its status is
said, negative for a signal. KIND is `whole`, `appended`, `rotated` or `spooled`.
"""

import os
import sys

from nsagent.agent.outputs import open_output
from nsagent.agent.outputs.spool import Spool, encode_record
from nsagent.agent.outputs.stdout import Stdout
from nsagent.config.model import FileOutput
from tests.agent.outputs.reports import make_report


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        kind, directory = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            print(os.getpid(), flush=True)
            os.read(int(sys.argv[1]), 1)
            write(kind, directory)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def write(kind: str, directory: str) -> None:
    """Report 9 of what tests/live/test_output_kills.py has begun there."""
    report = make_report(9)
    if kind == "spooled":
        Spool(directory, 5 * len(encode_record(report)) // 2).append(report)
        return
    config = {"type": "file", "path": f"{directory}/report"}
    if kind != "whole":
        config |= {"max_size": "1MiB" if kind == "appended" else "40B", "keep": "3"}
    open_output(FileOutput.model_validate(config), stdout=Stdout(None), tell=print).write(report)


if __name__ == "__main__":
    main()
