"""/proc/PID/environ: the environment that a process began with, as it stands in its memory, each with a NUL behind it.

Source: proc_pid_environ(5), fs/proc/base.c environ_read(). The process may have written anything there since; what it
sets later stands elsewhere.
"""


def parse_environ(data: bytes, most_bytes: int) -> tuple[tuple[str, ...], bool]:
    """Each NAME=VALUE of the first `most_bytes` in their order, and whether there is more.

    What is no UTF-8 are surrogate escapes. Empty ones, which a program that overwrote its own leaves, are left out.
    """
    text = data[:most_bytes].decode("utf-8", "surrogateescape")
    return tuple(filter(None, text.split("\0"))), len(data) > most_bytes
