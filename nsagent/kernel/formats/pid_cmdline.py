"""/proc/PID/cmdline: the arguments of a process, as they stand in its memory, each with a NUL behind it.

Source: proc_pid_cmdline(5), fs/proc/base.c get_mm_cmdline(). The process may have written anything there since
(setproctitle(3)): a title without a NUL at the place of the last one goes on up to the next one, where the environment
was, and the kernel gives no more than one page of it.
"""

from nsagent.model.process import CommandLine


def parse_cmdline(data: bytes, most_bytes: int) -> CommandLine:
    """The arguments in the bytes of a cmdline, or of the first `most_bytes` of them, where there are more.

    Arguments may be empty, and hold spaces and any byte but NUL; what is no UTF-8 are surrogate escapes. One text with
    nothing but NULs behind it is a title, and no arguments that are empty. A kernel thread, a zombie, and a process
    that has overwritten them all have none. The last one of those that are `cut` may be a part of one.
    """
    cut = len(data) > most_bytes
    *arguments, last = data[:most_bytes].decode("utf-8", "surrogateescape").split("\0")
    if last:  # Cut off, or a title that runs up to the end of the page.
        arguments.append(last)
    if not any(arguments[1:]):
        arguments = list(filter(None, arguments[:1]))
    return CommandLine(tuple(arguments), cut)
