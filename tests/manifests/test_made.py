"""What is committed is what is made of the chart; each right in it says which read needs it."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import nsagent
from tests.manifests.made import MANIFESTS, PROFILES, list_made, make_pod_config
from tests.manifests.tools import CHART, ROOT
from tests.manifests.values_page import write_values_page

FILES = [MANIFESTS / "install.yaml", *(MANIFESTS / "profiles" / f"{profile}.yaml" for profile in PROFILES)]


@pytest.mark.usefixtures("helm")
def test_every_file_is_what_is_made() -> None:
    """`make chart` makes them anew."""
    assert [str(file.relative_to(ROOT)) for file, text in list_made() if file.read_text() != text] == []


def test_there_is_a_file_for_each_profile_and_no_other() -> None:
    assert sorted(file.name for file in (MANIFESTS / "profiles").iterdir()) == sorted(
        f"{profile}.yaml" for profile in PROFILES
    )


def test_the_chart_has_the_version_of_nsagent() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (nsagent.__version__, nsagent.__version__)


def test_the_wheel_holds_the_manifests() -> None:
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"]["force-include"] == {"manifests": "nsagent/manifests"}


def test_a_value_without_a_comment_has_no_place_on_the_page() -> None:
    with pytest.raises(ValueError, match=r"a\.c: expected a comment above it"):
        write_values_page("a:\n  # One.\n  b: 1\n  c: 2\n")


def test_a_comment_is_one_row_with_the_default() -> None:
    page = write_values_page("a:\n  # One\n  # or two.\n  b: {c: [1]}\n# `x|y`.\nd: null\n")
    assert page.splitlines()[-2:] == ['| `a.b` | `{"c": [1]}` | One or two. |', "| `d` | `null` | `x\\|y`. |"]


def test_a_sample_with_other_words_makes_no_config_for_pods() -> None:
    with pytest.raises(ValueError, match="not once in the sample: # What"):
        make_pod_config("version: 1\n")


def find_marks(node: yaml.Node, path: tuple[str, ...]) -> Iterator[int]:
    """The lines at which the items of the list, or the key, at this path begin; `*` is any item of a list."""
    if not path:
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        yield from (item.start_mark.line for item in items)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == path[0]:
                yield from find_marks(value, path[1:])
    elif isinstance(node, yaml.SequenceNode) and path[0] == "*":
        for item in node.value:
            yield from find_marks(item, path[1:])


POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", "*")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize(
    "path",
    [
        (*POD, "hostPID"),
        (*POD, "hostNetwork"),
        (*CONTAINER, "volumeMounts"),
        (*CONTAINER, "securityContext", "capabilities", "add"),
        (*CONTAINER, "securityContext", "appArmorProfile"),
        (*CONTAINER, "securityContext", "seccompProfile"),
    ],
    ids=lambda path: path[-1],
)
def test_what_is_granted_stands_below_a_comment(file: Path, path: tuple[str, ...]) -> None:
    text = file.read_text()
    lines = text.splitlines()
    marks = [mark for document in yaml.compose_all(text, yaml.SafeLoader) for mark in find_marks(document, path)]
    assert marks
    assert [lines[mark] for mark in marks if not lines[mark - 1].lstrip().startswith("# ")] == []
