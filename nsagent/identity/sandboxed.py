"""The name of an OCI runtime -> whether its containers have a kernel, and so sockets, of their own.

Source: gVisor's runsc and its shim (https://gvisor.dev/docs/user_guide/containerd/), Kata Containers'
shim and the RuntimeClasses of kata-deploy. Who sets up a node names the handlers, and keeps to
these words; a handler called otherwise is taken for one that shares the kernel, as runc's do.
"""

_SANDBOX_OF_WORD = {
    "gvisor": "gvisor",
    "runsc": "gvisor",
    "kata": "kata",
    "katacontainers": "kata",
}


def name_sandbox(handler: str) -> str | None:
    """`gvisor` or `kata` for what runs containers in a sandbox with its own network stack, else None.

    `handler` is the handler of a RuntimeClass (`runsc`, `kata-qemu`; empty: the default one), the
    type of a shim (`io.containerd.runsc.v1`), or the name or path of its program
    (`/opt/kata/bin/containerd-shim-kata-v2`), of which only the last part counts.
    """
    program = handler.rpartition("/")[2].lower()
    words = program.replace(".", "-").replace("_", "-").split("-")
    return next((_SANDBOX_OF_WORD[word] for word in words if word in _SANDBOX_OF_WORD), None)
