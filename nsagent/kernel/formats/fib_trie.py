"""/proc/PID/net/fib_trie: the IPv4 addresses that are a netns's own, and those of broadcast in its networks.

Source: net/ipv4/fib_trie.c fib_trie_seq_show(). Only the table `local` tells: in others stand what
proxies take for themselves, as in `ip route add local 0.0.0.0/0 dev lo table 100`.
"""

import re
from collections.abc import Iterator
from typing import Final

from nsagent.errors import FormatError

_TABLE: Final = re.compile(r"^(Main|Local|Id -?[0-9]+):\n", re.ASCII | re.MULTILINE)
"""A table begins; its number is unsigned, and the kernel prints it as if it were not."""
_LEAF: Final = re.compile(r"^ +\|-- ([0-9.]+)$|^ +/([0-9]{1,2}) [a-z0-9=]+ ([A-Z]+)", re.ASCII | re.MULTILINE)
"""An address, or below it one of its routes: prefix length, scope and type."""
_WHOLE: Final = 32
"""The length of a prefix that is one address."""


def parse_fib_trie(text: str) -> tuple[str, ...]:
    """The own addresses as "address/prefix length", ascending by text; raises FormatError if this is no such file.

    A prefix shorter than 32 is own as a whole, as 127.0.0.0/8; one of length 0 tells nothing and is left out.
    """
    return tuple(
        sorted(
            {f"{address}/{length}" for address, length, kind in _list_local(text) if kind == "LOCAL" and int(length)}
        )
    )


def parse_broadcasts(text: str) -> tuple[str, ...]:
    """The addresses by which all of a network are reached, as 10.0.0.255 of 10.0.0.0/24, ascending by text.

    Raises FormatError if this is no such file.
    """
    found = {address for address, length, kind in _list_local(text) if kind == "BROADCAST" and int(length) == _WHOLE}
    return tuple(sorted(found))


def _list_local(text: str) -> Iterator[tuple[str, str, str]]:
    """The address, prefix length and type of each route of the table `local`."""
    before, *tables = _TABLE.split(text)
    if before:
        raise FormatError("tables of /proc/PID/net/fib_trie", text)
    address = ""
    for leaf, length, kind in _LEAF.findall(dict(zip(tables[::2], tables[1::2], strict=True)).get("Local", "")):
        if leaf:
            address = leaf
        else:
            yield address, length, kind
