"""The recipes answer what they ask, of a scene of which tests/record.py says what happened there."""

import re
from typing import NamedTuple

import pytest

from tests.docs import DOCS, console

SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", (DOCS / "recipes.md").read_text(), re.MULTILINE))
SHOWN = dict(zip(SECTIONS, (shown for command, shown in console() if command.page == "recipes.md"), strict=True))


class Answer(NamedTuple):
    """What the lines of an answer hold: each pattern of `told` is found in one of its own, and in no other."""

    told: tuple[str, ...]
    others: int = 0
    """How many more lines there are, of which no pattern tells: headers, and what the question lets in besides."""


WEB, SLOW, API, LOAD = r"shop/web-\S+", r"shop/slow-\S+", r"shop/api-\S+", r"test/load-8c5d"
ANSWERS = {
    "Who listens on port 443, and in which pod?": Answer((rf"listen +\*:443 .* httpd +nginx +{WEB}$",), 1),
    "What does this container talk to?": Answer((r":8080 +established +10$", r":8080 +syn_sent +2$", r":443 .* 1$"), 1),
    "Which connections does this pod have?": Answer((r"established .*:443 .* httpd +nginx$", r"^time_wait .*:443 "), 2),
    "What listens on all addresses?": Answer((r"^\*:443 ", r"^\*:9000 ", r"^\*:8080 ", rf"^\*:4444 .* {LOAD}$")),
    "Which container leaks connections in CLOSE_WAIT?": Answer((rf"^{API} +api +sleep +3$",), 1),
    "Whose accept queue is full?": Answer((rf"^10/9 +\*:8080 .* {SLOW}$", r"^0/2 +\*:9000 "), 5),
    "How many sockets has each container, by state?": Answer((r"^api +close_wait +3$", r"^slow +established +10$"), 13),
    "Which sockets have no owner, and why?": Answer((r"^8080\taccept_queue\t", r"^443\ttime_wait\t"), 4),
    "Who has left this TIME_WAIT?": Answer(
        (r":443 .* container:nginx$", r" 10\.214\.0\.2:443 .* container:client$"), 1
    ),
    "Which processes share a listener?": Answer((r":8001 +\d+,\d+ +service-1,", r":9001 +\d+,\d+ +service-1,"), 1),
    "Who holds this netns?": Answer((rf" slow +{SLOW} .* mount,process$",), 1),
    "What is new since yesterday?": Answer((rf"^new_listener .* \*:4444 .* client +{LOAD}$",), 1),
    "What was open at 03:00?": Answer((rf"T02:59:00.000Z .* 10\.214\.0\.2:443 .* client +{LOAD}$",), 1),
    "How does a script join sockets with containers?": Answer((r'^443,"\S+/busybox:1"$', r"^33641,$"), 4),
}


def test_every_recipe_is_one_question_one_command_and_its_answer() -> None:
    assert list(SHOWN) == list(ANSWERS)
    assert [text.count("```console\n") for text in SECTIONS.values()] == [1] * len(SECTIONS)


@pytest.mark.parametrize("question", ANSWERS)
def test_the_answer_shown_is_one_to_the_question(question: str) -> None:
    lines = SHOWN[question].splitlines()
    told = [[line for line in lines if re.search(pattern, line)] for pattern in ANSWERS[question].told]
    assert [len(found) for found in told] == [1] * len(told)
    assert len(lines) == len(told) + ANSWERS[question].others
