"""What in a report does not fit together, found when its config is read."""

import pytest

from nsagent.agent.config_file import find_misfits
from nsagent.config.model import Report

BASE: dict[str, object] = {"name": "a", "every": "5m", "view": "sockets", "format": "table"}


@pytest.mark.parametrize(
    ("keys", "places", "beginning"),
    [
        ({"columns": ["pid", "pidd"]}, [("columns", 1)], "no column 'pidd'; near names: pid"),
        ({"sort_by": ["-nonsense"]}, [("sort_by", 0)], "no column 'nonsense'"),
        ({"group_by": ["nonsense"], "columns": ["none"]}, [("group_by", 0), ("columns", 0)], "no column 'nonsense'"),
        ({"view": "netns", "columns": ["pid"]}, [("columns", 0)], "no column 'pid'"),
        ({"view": "top", "group_by": ["pod", "nonsense"], "sort_by": ["none"]}, [("group_by", 1)], "no column 'nonse"),
        (
            {"view": "top", "group_by": ["pod"], "sort_by": ["-count", "pid"]},
            [("sort_by", 1)],
            "no column 'pid'; near names: pod (columns: pod, count)",
        ),
        ({"view": "top", "group_by": ["pod"], "format": "prom"}, [("format",)], "prom has nothing to say of counts; "),
        ({"view": "changes", "format": "name"}, [("format",)], "name has nothing to say of changes; table, wide, csv,"),
        ({"diff": True, "format": "prom"}, [("format",)], "prom has nothing to say of changes; "),
        ({"diff": True, "columns": ["change", "acceptq"]}, [("columns", 1)], "no column 'acceptq'"),
    ],
)
def test_a_misfit_is_told_with_its_place(
    keys: dict[str, object], places: list[tuple[str | int, ...]], beginning: str
) -> None:
    misfits = list(find_misfits(Report.model_validate(BASE | keys)))
    assert [place for place, _ in misfits] == places
    assert misfits[0][1].startswith(beginning)


@pytest.mark.parametrize(
    "keys",
    [
        {"columns": ["pod", "local"], "format": "jsonl"},
        {"view": "listeners", "group_by": ["pod"], "format": "html"},
        {"view": "top", "group_by": ["pod"], "columns": ["count", "pod"], "sort_by": ["-count"], "limit": 3},
        {"view": "changes", "columns": ["change", "local"], "format": "csv"},
        {"view": "netns", "format": "prom"},
    ],
)
def test_what_fits_together_is_no_misfit(keys: dict[str, object]) -> None:
    assert list(find_misfits(Report.model_validate(BASE | keys))) == []
