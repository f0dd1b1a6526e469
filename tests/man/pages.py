"""The man pages below docs/man: one of the program, and one of each command, made of what their help says.

`python -m tests.man.pages` (`make man`) writes them anew; test_pages.py compares. docutils writes the
roff. click-man knows its options by the classes of click, of which typer has a copy of its own: it
would leave out all of them. help2man has the help as it is cut to a terminal, and where commands are cut.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import typer
from docutils import nodes
from docutils.core import publish_from_doctree
from docutils.utils import new_document
from docutils.writers.manpage import Writer

import nsagent
from nsagent.cli.app import make_app

DIRECTORY = Path(__file__).parent.parent.parent / "docs" / "man"

EXIT_STATUS: Final = (
    ("0", "answered, also when a filter matches nothing"),
    ("1", "failed: an engine asked for that cannot work, an unreadable capture"),
    ("2", "usage, or a config that is wrong"),
    ("3", "with --strict: answered, but something could not be seen"),
    (
        "4",
        (
            "no such container, pod, netns or process, or several; "
            "or a name that meant something else by the end of the pass"
        ),
    ),
    ("5", "nsagent diff --fail-on: there is such a change"),
    ("130", "interrupted"),
)
"""As the table in README.md has it."""


def list_pages() -> Iterator[tuple[str, str]]:
    """(name of the file, roff) of every page."""
    program: Any = typer.main.get_command(make_app())
    context = typer.Context(program, info_name="nsagent", **program.context_settings)
    pages = {f"nsagent-{name}": command for name, command in program.commands.items()}
    sections = [
        *_describe(context),
        _section("Commands", _define((f"{page}(1)", _summarize(command)) for page, command in pages.items())),
        _section("Exit status", _define(EXIT_STATUS)),
        _see_also("ss(8), ip-netns(8), lsns(8)"),
    ]
    yield "nsagent.1", _write("nsagent", _summarize(program), sections)
    for page, command in pages.items():
        inner = typer.Context(command, info_name=command.name, parent=context)
        yield f"{page}.1", _write(page, _summarize(command), [*_describe(inner), _see_also("nsagent(1)")])


def _describe(context: Any) -> Iterator[nodes.section]:
    """How the command is called, what it does, its arguments and options; then the commands of a group, each alike."""
    command = context.command
    usage = nodes.paragraph("", "", nodes.strong("", context.command_path), nodes.Text(_usage(context)))
    yield _section("Synopsis", usage)
    yield _section("Description", *(nodes.paragraph("", text) for text in _split_paragraphs(command.help)))
    parameters = command.get_params(context)
    arguments = [each for each in parameters if each.param_type_name == "argument"]
    if arguments:
        yield _section("Arguments", _define((each.make_metavar(context), _tell(each, context)) for each in arguments))
    yield _section("Options", _list_options([each for each in parameters if each not in arguments], context))
    if context.parent:
        for name, each in getattr(command, "commands", {}).items():
            inner = typer.Context(each, info_name=name, parent=context)
            yield _section(inner.command_path, *_describe(inner))


def _usage(context: Any) -> str:
    pieces = context.command.collect_usage_pieces(context)
    return "".join(f" {piece.strip('{}')}" for piece in pieces)


def _list_options(options: Sequence[Any], context: Any) -> nodes.option_list:
    return nodes.option_list("", *(_make_option(option, context) for option in options))


def _make_option(option: Any, context: Any) -> nodes.option_list_item:
    """An option with its names, the short one first, and what its help says."""
    group = nodes.option_group()
    metavar = "" if option.is_flag else option.make_metavar(context)
    text = _tell(option, context)
    if metavar.startswith("<"):
        # Choices are many: as one word they would be longer than a line.
        text = f"{text} One of {', '.join(metavar.strip('<>').split('|'))}."
        metavar = option.opts[0].lstrip("-").upper()
    for name in sorted(option.opts, key=len):
        each = nodes.option("", nodes.option_string("", name))
        if metavar:
            each += nodes.option_argument("", metavar, delimiter=" ")
        group += each
    return nodes.option_list_item("", group, nodes.description("", nodes.paragraph("", text)))


def _tell(parameter: Any, context: Any) -> str:
    """What its help says, with its variable and its default."""
    record = parameter.get_help_record(context)
    return " ".join(record[1].split())


def _summarize(command: Any) -> str:
    """The first sentence of its help, without a full stop."""
    return _split_paragraphs(command.help)[0].rstrip(".")


def _split_paragraphs(text: str) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]


def _see_also(pages: str) -> nodes.section:
    return _section("See also", nodes.paragraph("", pages))


def _define(pairs: Iterable[tuple[str, str]]) -> nodes.definition_list:
    return nodes.definition_list(
        "",
        *(
            nodes.definition_list_item("", nodes.term("", term), nodes.definition("", nodes.paragraph("", text)))
            for term, text in pairs
        ),
    )


def _section(title: str, *content: nodes.Node) -> nodes.section:
    return nodes.section("", nodes.title("", title), *content)


def _write(page: str, summary: str, sections: Sequence[nodes.Node]) -> str:
    """A page of section 1 in roff."""
    document = new_document(page)
    number = nodes.field("", nodes.field_name("", "manual section"), nodes.field_body("", nodes.paragraph("", "1")))
    document["title"] = page
    document += [
        nodes.title("", page),
        nodes.subtitle("", summary),
        nodes.docinfo("", number, nodes.version("", f"nsagent {nsagent.__version__}")),
        *sections,
    ]
    settings = {"output_encoding": "unicode"}
    return str(publish_from_doctree(document, writer=Writer(), settings_overrides=settings))


def main() -> None:
    """Write every page."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name, text in list_pages():
        (DIRECTORY / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
