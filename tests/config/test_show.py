"""A config as it is in force: the same when it is read back, without what a URL may hide."""

import pytest

from nsagent.config.show import show_config
from nsagent.report.yaml import render_record
from tests.config.rows import REPORT, config_of
from tests.config.test_load import WHOLE


@pytest.mark.parametrize(
    "text", ["version: 1", REPORT, WHOLE, REPORT + "    select: {container: ['$$a', 'no', '0o17', '1e3']}\n"]
)
def test_what_is_shown_is_read_back_as_the_same(text: str) -> None:
    config = config_of(text)
    assert config_of(render_record(show_config(config))) == config


def test_defaults_are_shown_and_what_is_absent_is_not() -> None:
    assert show_config(config_of(REPORT)) == {
        "version": 1,
        "interval": "30s",
        "limits": {},
        "engine": "auto",
        "reports": [
            {
                "name": "a",
                "every": "1m",
                "jitter": "0s",
                "select": {"listening": False, "ownerless": False},
                "view": "sockets",
                "format": "jsonl",
                "diff": False,
                "labels": False,
                "cmdline": "none",
                "outputs": [{"type": "stdout"}],
            }
        ],
        "socket": "/run/nsagent/agent.sock",
        "events": "auto",
        "log": "line",
    }


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/p", "https://h/p"),
        ("https://h/p?key=secret", "https://h/p?key=HIDDEN"),
        ("https://h/p?a=secret&b=se=cret&c", "https://h/p?a=HIDDEN&b=HIDDEN&HIDDEN"),
        ("https://h/?secret", "https://h/?HIDDEN"),
        ("https://h/?a=", "https://h/?a="),
    ],
)
def test_the_values_of_the_query_of_a_url_are_hidden(url: str, shown: str) -> None:
    config = config_of(REPORT + "    outputs: [{type: http, url: '${URL}'}]\n", {"URL": url})
    assert show_config(config)["reports"][0]["outputs"][0]["url"] == shown
