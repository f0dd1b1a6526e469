"""What was measured, as lines for people. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.bench.states import State
from tests.bench.targets import Verdict

MIB: Final = 1 << 20
_HEADER: Final = ("TOOL", "WALL s", "x BOUND", "CPU s", "RSS MiB", "RUNS", "SOCKETS R / P", "OWNERS R / P", "")

_AGENT_HEADER: Final = ("OF THE AGENT", "CPU s", "MiB")


def list_state_lines(state: State, result: Mapping[str, Any]) -> list[str]:
    """The title and the table of one state; `result` is the answer of tests.bench.inside."""
    title = (
        f"{state.name}: {state.netns + state.empty:,} netns, {state.holders:,} holders, {state.fds:,} fds,"
        f" {state.held:,} held sockets, {state.rows:,} rows, {state.owner_pairs:,} (socket, pid) pairs"
    )
    bound = result["tools"].get("bound", {}).get("wall_seconds")
    floor = result["rss_floor_bytes"]
    rows = [_tool_row(name, tool, bound, floor) for name, tool in result["tools"].items()]
    return [title, *_align([_HEADER, *rows])]


def list_agent_lines(state: State, figures: Mapping[str, Any]) -> list[str]:
    """The title and the table of an agent on one state; `figures` is the answer of tests.bench.agent."""
    passes, steady = figures["passes"], figures["steady"]
    rows = [
        *((f"pass, {name.replace('_', ' ')}", _number(seconds, ".3f"), "-") for name, seconds in passes.items()),
        *(
            (f"pass with {count} reports", _number(seconds, ".3f"), "-")
            for count, seconds in figures["reports"].items()
        ),
        *((name, _number(run["cpu_seconds"], ".3f"), "-") for name, run in figures["asked"].items()),
        *((name, "-", _number(size / MIB, ".1f")) for name, size in steady.items() if name.endswith("_bytes")),
    ]
    return [f"{state.name}: the agent", *_align([_AGENT_HEADER, *rows])]


def list_verdict_lines(verdicts: Iterable[Verdict]) -> list[str]:
    """One line for each ratio, with its target beside it."""
    return _align([(what, _number(ratio, ".2f"), _target(ratio, target)) for what, ratio, target in verdicts])


def _tool_row(name: str, tool: Mapping[str, Any], bound: float | None, floor: int) -> tuple[str, ...]:
    if "wall_seconds" not in tool:
        return (name, *["-"] * 7, f"failed: {tool['failed']}")
    wall, score, peak = tool["wall_seconds"], tool["score"], tool["peak_rss_bytes"]
    remark = f"failed: {tool['failed']}" if tool["failed"] else tool["printed"]
    return (
        name,
        _number(wall, ".3f") + (" est" if tool["estimated"] else ""),
        _number(wall / bound if bound else None, ".2f"),
        _number(tool["cpu_seconds"], ".3f"),
        # No more can be told of a program that is smaller than the one that measured it.
        ("<= " if peak <= floor else "") + f"{peak / MIB:.0f}",
        str(len(tool["runs"])),
        _rightness(score, "sockets"),
        _rightness(score, "owners"),
        remark,
    )


def _rightness(score: Mapping[str, Any] | None, what: str) -> str:
    """Recall and precision, rounded down: only what is all right is 1.0000."""
    if score is None:
        return "-"
    recall, precision = (int(score[what][name] * 10_000) / 10_000 for name in ("recall", "precision"))
    return f"{recall:.4f} / {precision:.4f}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _target(ratio: float | None, target: float | None) -> str:
    if target is None:
        return ""
    reached = "" if ratio is None else "  reached" if ratio <= target else "  MISSED"
    return f"target <= {target}{reached}"


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
