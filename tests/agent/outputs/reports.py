"""Reports as the tests write them."""

from nsagent.agent.outputs.report import WrittenReport
from nsagent.model.choices import OutputFormat


def make_report(number: int = 1, data: bytes | None = None, *, name: str = "listeners") -> WrittenReport:
    """The report of that second; its text is its number."""
    text = f'{{"number": {number}}}\n'.encode() if data is None else data
    taken_at = f"2026-01-02T03:{number // 60:02}:{number % 60:02}.000Z"
    return WrittenReport(name, OutputFormat.JSONL, "application/x-ndjson", taken_at, text, "node-1")
