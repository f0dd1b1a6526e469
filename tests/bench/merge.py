"""`python -m tests.bench.merge STATE LINES TRUTH`: from what the holders wrote to the ground truth as JSON.

Prints, as JSON, the little that the measuring process needs of it: one holder in each netns, and who
can renew the TIME_WAIT rows. Fails if the state is not exactly what the table in states.py says.
A program of its own for the reason that judge.py gives.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.score import Row
from tests.bench.states import STATES, State
from tests.bench.truth import parse_makers, parse_truth, truth_document


def main() -> None:
    """Merge, check, write, and print the summary."""
    name, lines_path, truth_path = sys.argv[1:]
    lines = Path(lines_path).read_text(encoding="ascii").splitlines()
    rows = parse_truth(lines)
    check_counts(STATES[name], rows)
    Path(truth_path).write_text(json.dumps(truth_document(name, rows)), encoding="ascii")
    holder_of = {row.netns: min(row.pids) for row in rows if row.pids}
    print(json.dumps({"netns": sorted(holder_of.items()), "makers": parse_makers(lines)}))


def check_counts(state: State, rows: Sequence[Row]) -> None:
    """Raises ValueError unless `rows` are as many, held by as many, as `state` says."""
    is_there = (len(rows), sum(1 for row in rows if row.pids), sum(len(row.pids) for row in rows))
    wanted = (state.rows, state.held, state.owner_pairs)
    if is_there != wanted:
        raise ValueError(f"{state.name}: (rows, held, owner pairs) are {is_there}, not {wanted}")


if __name__ == "__main__":
    main()
