"""`python -m tests.bench.judge PARSER TRUTH OUTPUT [NETNS ...]`: the score of one output, as JSON.

A program of its own, because the peak RSS that the kernel reports for a measured program is never
less than that of the process that started it (setmax_mm_hiwater_rss, fs/exec.c): whoever measures
must stay small, and so must not read these files.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tests.bench.outputs import FIELDS, PARSERS
from tests.bench.score import Ratio, score_rows
from tests.bench.truth import parse_document


def main() -> None:
    """Judge; NETNS are the inodes of the netns that the tool was asked about, all where there is none."""
    parser, truth_path, output_path, *netns = sys.argv[1:]
    asked = set(map(int, netns))
    truth = parse_document(json.loads(Path(truth_path).read_text(encoding="utf-8")))
    if asked:
        truth = [row for row in truth if row.netns in asked]
    told = PARSERS[parser](Path(output_path).read_text(encoding="utf-8", errors="replace"))
    score = score_rows(truth, told, FIELDS[parser])
    print(json.dumps({"sockets": _record(score.sockets), "owners": _record(score.owners)}))


def _record(ratio: Ratio) -> dict[str, Any]:
    return {
        "expected": ratio.expected,
        "found": ratio.found,
        "right": ratio.right,
        "recall": ratio.recall,
        "precision": ratio.precision,
    }


if __name__ == "__main__":
    main()
