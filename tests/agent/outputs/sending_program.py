"""`sending_program.py URL SPOOL FIRST`: sends reports from FIRST on; says the number of each that is handed over."""

import sys
from itertools import count

from nsagent.agent.outputs.http import HttpOutput
from nsagent.config.model import HttpOutput as HttpConfig
from tests.agent.outputs.reports import make_report


def main(url: str, spool: str, first: str) -> None:
    config = HttpConfig.model_validate({"type": "http", "url": url, "spool": {"path": spool, "max_size": "64MiB"}})
    out = HttpOutput(config, tell=lambda _: None)
    for number in count(int(first)):
        out.write(make_report(number))
        print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
