"""The house keeps its order: who imports whom, which third party is let in where, what a scan never loads."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "nsagent"

MAY_IMPORT = {
    "errors": set[str](),
    "model": {"errors"},
    "kernel.formats": {"errors", "model"},
    "identity": {"errors", "model"},
    "query": {"errors", "model"},
    "report": {"errors", "model"},
    "kernel": {"errors", "model", "kernel.formats"},
    "inspect": {"errors", "model", "identity", "kernel", "kernel.formats"},
    "events": {"errors", "model", "identity", "query", "kernel", "kernel.formats", "scan"},
    "runtimes": {"errors", "model", "identity"},
    "scan": {"errors", "model", "identity", "query", "kernel.formats"},
    "scan.collect": {"errors", "model", "identity", "query", "kernel.formats", "scan", "kernel", "runtimes"},
    "scan.take": {
        "errors", "model", "identity", "query", "kernel.formats", "kernel", "runtimes", "scan", "scan.collect",
    },
    "lookup": {
        "errors", "model", "query", "identity", "kernel.formats", "kernel", "runtimes", "scan", "scan.collect",
        "scan.take",
    },
    "doctor": {
        "errors", "model", "identity", "query", "report", "runtimes", "kernel", "kernel.formats", "scan",
        "scan.collect", "config",
    },
    "config": {"errors", "model", "query"},
    "agent": {
        "", "errors", "model", "identity", "query", "report", "runtimes", "kernel", "kernel.formats", "scan",
        "scan.collect", "scan.take", "config", "events",
    },
    "cli": {
        "", "errors", "model", "identity", "query", "report", "runtimes", "kernel", "kernel.formats", "scan",
        "scan.collect", "scan.take", "doctor", "config", "agent", "inspect", "events",
    },
    "__main__": {"cli"},
    "": {"errors", "model", "events", "runtimes", "scan", "scan.take", "lookup"},
}  # fmt: skip
"""Room -> the rooms that it may import, beside itself; "" is nsagent/__init__.py."""

THIRD_PARTIES = {
    "cronsim": {"config/", "agent/schedule.py"},
    "docker": {"runtimes/docker_client.py"},
    "google": {"runtimes/cri.py"},
    "grpc": {"runtimes/cri.py"},
    "parsy": {"query/grammar.py"},
    "prometheus_client": {"report/prom.py", "agent/metrics.py"},
    "pydantic": {"config/"},
    "pyroute2": {"kernel/links.py"},
    "requests": {"runtimes/docker_client.py"},
    "typer": {"cli/"},
    "urllib3": {"runtimes/docker_client.py", "agent/outputs/http_post.py", "config/texts.py"},
    "waitress": {"agent/http.py"},
    "yaml": {"config/", "report/yaml.py"},
}
"""Third party -> the files (or folders) that may import it."""

DISTRIBUTIONS = {"google": "protobuf", "grpc": "grpcio", "prometheus_client": "prometheus-client", "yaml": "pyyaml"}
"""Top-level module -> what it is installed by, where that has another name."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """The room of a module named like `kernel.formats.netlink`, the narrowest one in the table."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in MAY_IMPORT:
            return ".".join(parts[:length])
    return parts[0]


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Every module that a file imports, anywhere in it, with the names imported from it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def third_parties_of(path: Path) -> set[str]:
    """The top-level modules that a file imports and that are neither ours nor Python's."""
    return {name.split(".")[0] for name in imports_of(path)} - set(sys.stdlib_module_names) - {"nsagent"}


def existing(module: str) -> bool:
    path = PACKAGE.joinpath(*module.split(".")) if module else PACKAGE
    return path.is_dir() or path.with_suffix(".py").is_file()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_the_rooms_below_its_own(path: Path) -> None:
    room = room_of(module_name(path))
    assert room in MAY_IMPORT, f"{path} stands in no room of the table"
    own = [name.partition(".")[2] for name in imports_of(path) if name.split(".")[0] == "nsagent"]
    used = {room_of(name) for name in own if existing(name)} - {room}
    assert used <= MAY_IMPORT[room]


def test_nobody_makes_a_pass_but_take() -> None:
    callers = [path for path in MODULES if "nsagent.scan.collect.collect" in imports_of(path)]
    assert callers == [PACKAGE / "scan" / "take.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_third_party_is_imported_where_it_belongs(path: Path) -> None:
    file = str(path.relative_to(PACKAGE))
    for name in third_parties_of(path):
        assert any(file.startswith(place) for place in THIRD_PARTIES.get(name, ())), f"{file} imports {name}"


def test_what_is_declared_is_imported_and_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for name, lines in project["optional-dependencies"].items() if name != "dev" for line in lines]
    declared = {re.split(r"[^\w-]", line)[0] for line in (*project["dependencies"], *extras)} - {"nsagent"}
    imported = {name for path in MODULES for name in third_parties_of(path)}
    assert declared == {DISTRIBUTIONS.get(name, name) for name in imported}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_and_its_functions_keep_to_their_size(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} of {path}"


OPENS = {
    "__main__.py": "/dev/null, in the place of a standard stream that is closed",
    "agent/config_file.py": "the config, which the caller names",
    "agent/listeners.py": "the directory of the agent's unix socket",
    "agent/token_file.py": "the token file that the config names",
    "agent/history_file.py": "the history that the config, or the caller, names",
    "cli/manifests.py": "the manifests that came with this package",
    "cli/write.py": "/dev/null",
    "kernel/cgroupfs.py": "directories: the cgroup tree as it is mounted for this program, and for PID 1",
    "kernel/details.py": "directories of fds",
    "kernel/files.py": "files of the procfs that is read",
    "kernel/lookup_child.py": "root directories of others, in a process that may be held up",
    "kernel/lookup_process.py": "files of procfs, and what a process runs, a regular file, in the same process",
    "kernel/netns.py": "the own netns",
    "kernel/nsfs.py": "whatever others have a say in: nothing but netns",
    "kernel/private_mount.py": "the root of a mount that is the program's own",
    "kernel/procfs.py": "files and directories of the procfs that is read",
    "kernel/sockfs.py": "fds of others: nothing but sockets",
    "kernel/sunrpc.py": "directories of a sysfs that is mounted for the purpose",
    "runtimes/bundles.py": "what an engine keeps below its directory",
    "runtimes/directory_source.py": "the directory of an engine",
    "runtimes/nerdctl.py": "the directory of nerdctl's names, to which a bundle leads",
    "runtimes/shims.py": "what containerd keeps below its directory",
    "agent/outputs/file.py": "reports, in directories that no other user may write",
    "agent/outputs/small_file.py": "tokens and certificates that the config names",
    "agent/outputs/spool.py": "records in a directory of our own",
    "scan/capture_file.py": "the capture that the caller names",
    "scan/held_directory.py": "directories on the way to what is written, and new files",
}
"""File -> what it opens. A path of others is opened by kernel/nsfs.py alone, their fds by kernel/sockfs.py too."""

NOT_OF_OTHERS = {
    "__main__.py",
    "agent/history_file.py",
    "cli/manifests.py",
    "cli/write.py",
    "kernel/files.py",
    "kernel/netns.py",
    "kernel/procfs.py",
    "scan/capture_file.py",
}
"""Files that open nothing but what the kernel or pip has put there, or the caller names."""


def list_opens(path: Path) -> list[str]:
    """The flags of each os.open of a module, its constants put in; of other ways to open a file their name."""
    tree = ast.parse(path.read_text())
    constants = {
        ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0]): ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value
    }
    found = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        if name == "os.open":
            flags = ast.unparse(call.args[1])
            found.append(re.sub(r"\b_\w+", lambda constant: constants[constant[0]], flags))
        elif name in ("open", "io.open") or name.endswith((".read_text", ".read_bytes")):
            found.append(name)
    return found


def test_files_are_opened_where_it_is_known_whose_they_are() -> None:
    assert {str(path.relative_to(PACKAGE)) for path in MODULES if list_opens(path)} == set(OPENS)


@pytest.mark.parametrize("file", sorted(set(OPENS) - NOT_OF_OTHERS))
def test_what_is_opened_by_a_path_of_others_neither_waits_nor_acts(file: str) -> None:
    """A FIFO waits for its other end, a terminal becomes that of whoever opens it, a device does what it likes."""
    for flags in list_opens(PACKAGE / file):
        harmless = ("os.O_PATH", "os.O_DIRECTORY", "os.O_NONBLOCK", "os.O_EXCL")
        assert any(each in flags for each in harmless), f"{file} opens with {flags}"


CLIENTS = ["docker", "google.protobuf", "grpc", "requests", "urllib3"]
"""What asks runtimes, where there are any."""

DETAILS = ["nsagent.kernel.formats.pid_status", "nsagent.kernel.links", "nsagent.model.process_details"]
"""What only some passes ask for."""

PRINTING = ["html", "nsagent.report.html", "nsagent.report.markdown", "prometheus_client"]
"""What only some formats take."""


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--version"], ["ctypes", "docker", "json", "nsagent.scan", "pydantic", "pyroute2", "rich", "yaml"]),
        (
            ["scan", "--runtime", "none"],
            [
                "parsy",
                "curses",
                "nsagent.cli.live",
                "nsagent.query.expression",
                "asyncio",
                *CLIENTS,
                *DETAILS,
                *PRINTING,
                "pydantic",
                "pyroute2",
                "rich",
                "yaml",
            ],
        ),
        (["scan", "--runtime", "none", "-o", "json"], [*CLIENTS, *PRINTING, "pydantic", "pyroute2", "rich", "yaml"]),
        (["scan", "--runtime", "none", "--count-by", "state"], [*CLIENTS, *PRINTING, "yaml"]),
        (["config", "init"], [*CLIENTS, "cronsim", "nsagent.scan", "pydantic", "yaml"]),
        (["manifests"], [*CLIENTS, "nsagent.scan", "pydantic", "yaml"]),
        (["netns", "--runtime", "none"], [*CLIENTS, "pydantic", "pyroute2", "rich", "yaml"]),
        # A host without runtimes.
        (["scan", "--host-root", "/sys"], ["asyncio", *CLIENTS, "http.client", "ssl", "pyroute2", "yaml"]),
    ],
)
def test_a_command_loads_nothing_that_it_does_not_need(arguments: list[str], absent: list[str]) -> None:
    program = (
        "import sys; from nsagent.cli.app import run; status = run(sys.argv[1:]); "
        "print('modules:', *sys.modules, file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    # What is said before names what the machine has: a container may be called docker.
    assert set(absent) & set(done.stderr.partition("modules:")[2].split()) == set()
