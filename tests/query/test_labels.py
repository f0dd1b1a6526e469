"""Label selectors."""

import pytest

from nsagent.errors import UsageError
from nsagent.query.labels import parse_labels

WEB = {"app": "web", "tier": "front", "canary": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("app=web", True),
        ("app==web", True),
        (" app = web ", True),
        ("app=db", False),
        ("app=", False),
        ("canary=", True),
        ("app!=web", False),
        ("app!=db", True),
        ("missing!=x", True),
        ("missing=x", False),
        ("canary", True),
        ("missing", False),
        ("!missing", True),
        ("! canary", False),
        ("app=web,tier=front", True),
        ("app=web,tier=back", False),
        ("app=web,!missing,tier!=back", True),
    ],
)
def test_each_form(text: str, matches: bool) -> None:
    (selector,) = parse_labels([text])
    assert selector.matches(WEB) is matches
    assert parse_labels([str(selector)]) == (selector,)


def test_each_time_the_option_is_given_makes_one_selector() -> None:
    assert [one.matches(WEB) for one in parse_labels(["app=db", "app=web"])] == [False, True]


def test_keys_and_values_with_the_signs_that_labels_have() -> None:
    (selector,) = parse_labels(["app.kubernetes.io/name=a.b-c_d/e"])
    assert selector.matches({"app.kubernetes.io/name": "a.b-c_d/e"})


@pytest.mark.parametrize("text", ["", "app=web,", "=web", "!app=web", "a b", "app in (web)", "!"])
def test_what_is_no_selector_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="--label: expected KEY=VALUE"):
        parse_labels([text])
