"""Where reports go: files, node_exporter's textfiles, stdout, receivers of HTTP.

An output never fails to open: what is wrong with its place is told by the report that cannot be written, and the
next report tries anew. `write` waits for the disk and, of stdout, for a second at most; never for a receiver. Outputs
of one config may be used by several threads, each by one at a time. No two of them may have one path.
"""

from nsagent.agent.outputs.direct import DirectOutput
from nsagent.agent.outputs.file import REPORT_MODE, TEXTFILE_MODE, AppendedFile, WholeFile
from nsagent.agent.outputs.report import Out, Tell
from nsagent.agent.outputs.stdout import KeptStdout, Stdout
from nsagent.config.model import FileOutput, HttpOutput, Output, TextfileOutput


def open_output(config: Output, *, stdout: Stdout | KeptStdout, tell: Tell) -> Out:
    """An output as the config asks for it; `stdout` is the one that all of them share.

    `tell` is called with a line about what `write` does not raise: what a receiver refused, and what was mended.
    """
    match config:
        case HttpOutput():
            from nsagent.agent.outputs.http import HttpOutput as Sender

            return Sender(config, tell=tell)
        case TextfileOutput(path=path):
            return DirectOutput("textfile", path, WholeFile(path, TEXTFILE_MODE).put)
        case FileOutput(path=path, max_size=None):
            return DirectOutput("file", path, WholeFile(path, REPORT_MODE).put)
        case FileOutput(path=path, max_size=int(max_bytes), keep=keep):
            return DirectOutput("file", path, AppendedFile(path, max_bytes, keep, tell).put)
        case _:
            return DirectOutput("", "stdout", stdout.put)
