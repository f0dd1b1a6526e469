"""Command lines without those secrets that can be told by how they stand there. Pure.

No rule knows every secret: whoever asks for arguments shows what they say. Where it is not clear how far a secret goes,
more of the text goes with it. It is told

- by the name that it is given to: `--db-password x`, `PGPASSWORD=x`, `Password=x;` of a connection string, a header
  (`Authorization: Bearer x`), a key of JSON; by options of one letter of well-known programs, as in `mysql -px`;
- by where it stands in a URL: `//user:x@host`;
- by its own form: keys and tokens of well-known makers, JSON web tokens, private keys in PEM.

An argument of several words may be a command of its own, as that of `sh -c`: its words are looked at alike.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from nsagent.model.process import CommandLine

HIDDEN: Final = "***"
"""What stands in the place of a secret."""

_HINT: Final = re.compile("pass|pw|psk|sig|secret|token|auth|key|cookie|bearer", re.IGNORECASE)
"""What is in each name of a secret, and found sooner than one."""

_NAME: Final = r"""(?<![\w./-])[\w.-]*(?:
    passw(?:or)?d | passphrase | requirepass | masterauth | secret | token | authorization | cookie | bearer | signature
    | (?:api|access|secret|account|shared|auth|master|signing|encryption)[_-]?key(?:[_-]?id)?
    | (?<![a-z])(?:pass|pw|psk|sig) | (?<![a-z])pwd(?!["']?[=:]/) | (?-i:(?<=[a-z])(?:Pass|Pwd))
    )\d*(?![\w.-])"""
"""A word that ends like the name of a secret: `--password-file`, `--max-tokens`, `--bypass` and `PWD=/` are none."""

_GIVES: Final = r"""(?:\\?["'])?\s*(?:=>?|:(?!//))\s*"""
_QUOTED: Final = r"""\\"[^"\\]*(?:\\"|\Z) | "(?:\\.|[^"\\])*(?:"|\Z) | '[^']*(?:'|\Z)"""
"""Of JSON in JSON, too; one that is cut off ends with the text."""

_WHOLE: Final = re.compile(rf"""(["']?{_NAME}{_GIVES})(?=\S)""", re.IGNORECASE | re.VERBOSE)
"""What an argument begins with that is a secret from there to its end."""

_IN_TEXT: Final = re.compile(
    rf"""({_NAME}{_GIVES}) (?:{_QUOTED} | [^;&"'\n]+?(?=\s+[\w.-]+=|[;&"'\n]|\Z))""", re.IGNORECASE | re.VERBOSE
)
_IN_WORD: Final = re.compile(rf"""({_NAME}{_GIVES}) (?:{_QUOTED} | [^\s;&"']+)""", re.IGNORECASE | re.VERBOSE)

_ASKS: Final = re.compile(
    rf"""(?=-){_NAME} | .*{_NAME}["']?[=:] | .*\bbearer""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
"""An argument behind which a secret is the next one."""

_NO_SECRET: Final = re.compile(r"--[a-z][a-z0-9-]*(?:=.*)?|-[a-zA-Z]|--?", re.DOTALL)
"""An option: what stands before it is given nothing."""

_SCHEME: Final = re.compile(r"(?:bearer|basic|digest|token)", re.IGNORECASE)

_IN_URL: Final = re.compile(
    r"""([a-z][a-z0-9+.-]{0,20}://[^\s/:@?\#'"]{0,99}:)
    (?:[^\s/?\#'"]{0,299}(?=@) | (?!\d{1,5}[/?\#])[^\s@'"]{1,299}(?=@))""",
    re.IGNORECASE | re.VERBOSE,
)
"""The password in a URL: one may have slashes, but what looks like a port is none."""

_FORM: Final = re.compile(
    r"""-----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    | (?<=hooks\.slack\.com/services/)[\w/]+
    | (?i:(?<=\bbearer[ ]))[\w~+/.=-]{6,}
    | (?<![A-Za-z0-9_-]) (?:
        eyJ[\w-]{8,}(?:\.[\w-]*)*  # JSON web token
        | (?:A[KSB]IA|ACCA)[A-Z0-9]{12,}  # AWS
        | gh[pousr]_\w{16,} | github_pat_\w{16,} | gl[a-z]{2,5}-[\w-]{16,}  # GitHub, GitLab
        | xox[a-z]-[\w-]{8,} | xapp-[\w-]{8,}  # Slack
        | AIza[\w-]{24,} | ya29\.[\w-]{8,}  # Google
        | [srp]k_(?:live|test)_\w{8,} | sk-[\w-]{20,}  # Stripe, and those who call them alike
        | hv[sbr]\.[\w-]{16,} | dckr_pat_[\w-]{16,} | npm_\w{30,} | pypi-[\w-]{30,} | hf_\w{30,} | do[a-z]_v1_\w{16,}
        | SG\.[\w-]{8,}\.[\w-]{8,} | AGE-SECRET-KEY-1\w{8,}
    )""",
    re.VERBOSE | re.DOTALL,
)

_HARMLESS: Final = frozenset(("PWD", "OLDPWD", "SSH_AUTH_SOCK", "XAUTHORITY"))
"""Names of variables that are no secrets, though they sound like it."""

_MYSQL: Final = ("mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlcheck", "mariadb", "mariadb-dump")
_LDAP: Final = ("ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldapwhoami", "ldappasswd")
_MONGO: Final = ("mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport")

_SAME: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys((*_MYSQL, *_MONGO, "sshpass", "7z", "7za", "cqlsh"), ("-p",)),
    **dict.fromkeys(_LDAP, ("-w",)),
    **dict.fromkeys(("sqlcmd", "bcp", "ipmitool", "zip", "unzip"), ("-P",)),
    "curl": ("-u", "-U", "--user=", "--proxy-user="),
    "smbclient": ("-U", "--user="),
}
"""Program -> options that a secret may follow in the same argument."""

_NEXT: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys((*_MONGO, "sshpass", "cqlsh", "login"), ("-p",)),  # Login is a command of docker, helm, az ...
    **dict.fromkeys(_LDAP, ("-w",)),
    **dict.fromkeys(("sqlcmd", "bcp", "ipmitool", "zip", "unzip"), ("-P",)),
    "curl": ("-u", "-U", "--user", "--proxy-user"),
    "smbclient": ("-U", "--user"),
    "http": ("-a", "--auth"),
    "ssh": (),  # Its -p is a port, behind sshpass too.
    "redis-cli": ("-a",),
    "openssl": ("-k", "-K", "-pass", "-passin", "-passout"),
}
"""Program -> options behind which a secret is the next argument."""

_WITH_USER: Final = frozenset(("curl", "smbclient", "http"))
"""Programs that are given USER:SECRET, or USER%SECRET."""

_COMMAND: Final = re.compile(r"-[a-z]*c")
_WORD: Final = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*'|["'])+""")


def scrub(line: CommandLine) -> CommandLine:
    """The command line with `***` for each secret that can be told; what is no secret stands where it was."""
    words = line.argv
    if len(words) == 1:  # A title, which is often a command line as a whole.
        return line._replace(argv=(_scrub_argument(words[0], command=True),))
    return line._replace(argv=tuple(_scrub_each(words)))


def scrub_variable(variable: str) -> str:
    """NAME=VALUE of an environment by the same rules; a name in which any of them may be has no value told at all."""
    name, equals, value = variable.partition("=")
    if not equals:
        return _scrub_argument(variable)
    hidden = value and name not in _HARMLESS and _HINT.search(name)
    return f"{name}={HIDDEN if hidden else _scrub_argument(value)}"


def _scrub_each(words: Iterable[str]) -> Iterator[str]:
    program = before = ""
    for word in words:
        asks = _HINT.search(before) and _ASKS.fullmatch(before)
        if asks and _SCHEME.fullmatch(word):
            yield word
            continue
        if before in _NEXT.get(program, ()):
            yield _hide(word, program)
        elif asks and not _NO_SECRET.fullmatch(word):
            yield HIDDEN
        elif flag := next((each for each in _SAME.get(program, ()) if word.startswith(each) and word != each), None):
            yield flag + _hide(word.removeprefix(flag), program)
        else:
            yield _scrub_argument(word, command=_COMMAND.fullmatch(before) is not None)
            name = word.rpartition("/")[2]
            program = name if name in _SAME or name in _NEXT else program
            before = word
            continue
        before = ""


def _hide(value: str, program: str) -> str:
    """What a program is given as a secret, without that; the name of a user stays."""
    if program not in _WITH_USER:
        return HIDDEN
    found = re.search("[:%]", value)
    return value[: found.end()] + HIDDEN if found else value


def _scrub_argument(text: str, *, command: bool = False) -> str:
    """An argument without its secrets; a `command` is one of several words, which ends none of its names' values."""
    words = _WORD.findall(text) if " " in text or "\n" in text or "\t" in text else [text]
    named = _HINT.search(text) is not None
    if named and not (command and len(words) > 1) and (found := _WHOLE.match(text)):
        return found[1] + HIDDEN
    text = _FORM.sub(HIDDEN, text)
    if "@" in text:
        text = _IN_URL.sub(rf"\1{HIDDEN}", text)
    if len(words) < 2:
        return _IN_WORD.sub(rf"\1{HIDDEN}", text) if named else text
    if named and not command:
        text = _IN_TEXT.sub(rf"\1{HIDDEN}", text)
    scrubbed = _scrub_each(_WORD.findall(text))
    return _WORD.sub(lambda _: next(scrubbed), text)
