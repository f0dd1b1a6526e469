"""How a function whose parameters are themes becomes a command."""

import inspect
from typing import Annotated, NamedTuple

import pytest
import typer

from nsagent.cli.app import make_app
from nsagent.cli.command import make_command
from nsagent.errors import Aborted


class Size(NamedTuple):
    """A theme."""

    width: Annotated[int, typer.Option("--width", envvar="NSAGENT_WIDTH")] = 1


class Shape(NamedTuple):
    """A theme within which there is another."""

    size: Size = Size()
    corners: Annotated[list[str] | None, typer.Option("--corner")] = None


class Colour(NamedTuple):
    """Another theme."""

    name: Annotated[str, typer.Option("--name")] = "red"


def draw(*, file: Annotated[str, typer.Argument()], shape: Shape, dry: bool = False, colour: Colour) -> None:
    """Draw."""
    print(file, shape, dry, colour)


def run(*arguments: str) -> None:
    program = typer.Typer()
    program.command()(make_command(draw))
    program(args=list(arguments), standalone_mode=False)


def test_the_options_of_a_theme_stand_in_its_place() -> None:
    parameters = inspect.signature(make_command(draw)).parameters
    assert list(parameters) == ["file", "width", "corners", "dry", "name", "context"]
    assert parameters["width"].default == 1
    assert make_command(draw).__doc__ == "Draw."


@pytest.mark.parametrize(
    ("arguments", "drawn"),
    [
        (["f"], f"f {Shape()} False {Colour()}"),
        (
            ["f", "--width", "3", "--corner", "a", "--corner", "b", "--dry", "--name", "blue"],
            f"f {Shape(Size(3), ['a', 'b'])} True {Colour('blue')}",
        ),
    ],
)
def test_each_theme_is_made_of_what_was_typed(
    capsys: pytest.CaptureFixture[str], arguments: list[str], drawn: str
) -> None:
    run(*arguments)
    assert capsys.readouterr().out == f"{drawn}\n"


def test_a_variable_is_the_default_of_an_option_of_a_theme(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSAGENT_WIDTH", "7")
    run("f")
    assert capsys.readouterr().out == f"f {Shape(Size(7))} False {Colour()}\n"


def test_an_interrupt_aborts_a_command() -> None:
    def interrupted(*, dry: bool = False) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Aborted, match="interrupted"):
        make_command(interrupted)(dry=True)


def test_no_command_takes_more_than_a_handful_of_parameters() -> None:
    commands = [inspect.unwrap(each.callback) for each in make_app().registered_commands if each.callback]
    counts = {command.__name__: command.__code__.co_kwonlyargcount for command in commands}
    assert set(counts) == {
        "scan", "who", "port", "pid", "netns", "containers", "diff", "watch", "capture", "run", "history", "status",
        "doctor", "manifests", "inspect",
    }  # fmt: skip
    assert max(counts.values()) <= 8
