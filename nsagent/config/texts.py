"""Texts in a config that must be of a form: paths, addresses, URLs, times of cron. Pure, but for the tz database."""

import posixpath
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator

from nsagent.errors import UsageError, WrongExpression, WrongValue

_ANY_TIME: Final = datetime(2024, 1, 1, tzinfo=UTC)
_MAX_CRON: Final = 200
MAX_PORT: Final = 65535


class Listen(NamedTuple):
    """Where a server listens."""

    address: IPv4Address | IPv6Address
    port: int
    """0 for any that is free."""

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this host, or this pod, reaches it."""
        mapped = getattr(self.address, "ipv4_mapped", None)
        return (mapped or self.address).is_loopback


def parse_listen(text: str) -> Listen:
    """The address and port of `127.0.0.1:9469` or `[::1]:9469`; ValueError for all else, names of hosts too.

    Brackets may stand around an IPv4 address as well: around a variable, that may hold either kind.
    """
    address, _, port = text.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= MAX_PORT
    in_brackets = address.startswith("[") and address.endswith("]")
    try:
        parsed = ip_address(address[1:-1] if in_brackets else address)
    except ValueError:
        parsed = None
    if parsed is None or not is_port or (parsed.version == 6 and not in_brackets):
        raise ValueError("expected ADDRESS:PORT like 127.0.0.1:9469 or [::1]:9469")
    return Listen(parsed, int(port))


def check_listen(text: str) -> str:
    """What parse_listen takes; ValueError for all else."""
    parse_listen(text)
    return text


def check_path(text: str) -> str:
    """An absolute path; ValueError for all else."""
    if not text.startswith("/") or not text.isprintable():
        raise ValueError("expected an absolute path")
    return text


def check_file(text: str) -> str:
    """An absolute path that may be one of a file; ValueError for all else."""
    if posixpath.basename(check_path(text)) in ("", ".", ".."):
        raise ValueError("expected the path of a file")
    return text


def check_textfile(text: str) -> str:
    """The path of a file that node_exporter reads; ValueError for all else."""
    if not check_file(text).endswith(".prom"):
        raise ValueError("expected a path that ends with .prom: node_exporter reads no other")
    return text


def check_url(text: str) -> str:
    """A URL of HTTP without credentials; ValueError, which does not repeat what it holds, for all else."""
    # It sends the reports, and takes less than urlsplit. Only who sends any pays for it.
    from urllib3.util import parse_url

    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        parse_url(text)
    except ValueError:
        is_url = False
    if not is_url or not text.isprintable() or " " in text or parts.fragment:
        raise ValueError("expected a URL like https://host.example/path")
    if "@" in parts.netloc:
        raise ValueError("expected a URL without credentials: token_file holds them")
    return text


def check_cron(text: str) -> str:
    """Five fields of cron, or six with seconds; ValueError for all else, and for what never comes."""
    try:
        if len(text) > _MAX_CRON:
            raise CronSimError("too long")
        next(CronSim(text, _ANY_TIME))
    except (CronSimError, StopIteration) as err:
        reason = f": {str(err).lower()}" if isinstance(err, CronSimError) else ": it never comes"
        raise ValueError(f"expected times as cron takes them, like */5 * * * *{reason}") from err
    return text


def check_timezone(text: str) -> str:
    """A name of the tz database of this host; ValueError for all else."""
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError) as err:
        raise ValueError("expected a time zone of the tz database like Europe/Berlin") from err
    return text


def check_expression(text: str) -> str:
    """A filter expression; ValueError, with the character at which it is none, for all else."""
    from nsagent.query.grammar import parse_expression

    try:
        parse_expression(text)
    except WrongExpression as err:
        raise ValueError(f"character {err.position + 1}: {err.expected}") from err
    return text


def check_option(parse: Callable[[list[str]], object]) -> AfterValidator:
    """A validator for the text of an option of `scan`, by the function that parses it."""

    def check(text: str) -> str:
        try:
            parse([text])
        except UsageError as err:
            raise ValueError(err.expected if isinstance(err, WrongValue) else str(err)) from err
        return text

    return AfterValidator(check)


Path = Annotated[str, AfterValidator(check_path)]
FilePath = Annotated[str, AfterValidator(check_file)]
TextfilePath = Annotated[str, AfterValidator(check_textfile)]
Url = Annotated[str, AfterValidator(check_url)]
Cron = Annotated[str, AfterValidator(check_cron)]
Timezone = Annotated[str, AfterValidator(check_timezone)]
Expression = Annotated[str, AfterValidator(check_expression)]
ListenText = Annotated[str, AfterValidator(check_listen)]
