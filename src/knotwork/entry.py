"""How stages start: one line for a user's mistake, and a note of how long the stage took."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from knotwork.errors import run_main
from knotwork.files import write_json
from knotwork.params import Params, load_params

TIMINGS = Path("data/timings")


def run_stage(work: Callable[[Params, list[str]], None]) -> None:
    """Call ``work(params, arguments)`` for the script that runs, and exit.

    The parameters are checked whole before any work starts. The time goes to ``data/timings/``, which nothing
    but the report reads.
    """
    stage, arguments = Path(sys.argv[0]).stem, sys.argv[1:]

    def main() -> None:
        start = time.perf_counter()
        work(load_params(), arguments)
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        seconds = round(time.perf_counter() - start, 3)
        note = {"stage": stage, "seconds": seconds, "finished": finished}
        write_json(TIMINGS / f"{'-'.join([stage, *arguments])}.json", note)

    run_main(main)
