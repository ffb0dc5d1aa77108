"""``make study``: the runs that ``studies.yaml`` declares, and their pages; ``make sweep-<name>``: a sweep's."""

import argparse

from knotwork.errors import UserError, run_main
from knotwork.study.declaration import selected
from knotwork.study.driver import make, plan, state, write_group


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="make study", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="group, run, task, or group/run/task")
    parser.add_argument("--list", action="store_true", help="say what is declared and what of it is finished")
    parser.add_argument("--minutes", type=float, help="begin no run after so many; 0: write the pages")
    parser.add_argument("--jobs", type=int, metavar="N", help="so many runs at a time, by DVC's queue")
    parser.add_argument(
        "--base", nargs="+", metavar="BASE", default=[], help="further bases for the study of sizes: name@revision"
    )
    arguments = parser.parse_args()
    run_main(lambda: study(arguments))


def study(arguments: argparse.Namespace) -> int:
    """Make what is declared and not finished, write the pages, and give the exit status.

    Raises:
        UserError: options that do not fit, a name that calls nothing, or no clone to work in.
    """
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UserError(f"--jobs: {arguments.jobs} workers make nothing; give at least 1")
    if arguments.jobs and arguments.minutes:
        raise UserError("--minutes: DVC's queue knows no time limit; leave it out, or --jobs")
    declared = plan(arguments.base)
    chosen = selected(declared.cells, arguments.only)
    if arguments.list:
        for cell in chosen:
            print(f"{state(cell, declared.values):12} {cell.name}")
        return 0
    failed = make(chosen, declared.values, arguments.minutes, arguments.jobs)
    broken = 0
    for group in dict.fromkeys(cell.group for cell in chosen):
        try:
            write_group(declared, group, failed)
        except UserError as error:  # of one page, which the others can do without
            broken += 1
            print(f"error: {group}: {error}", flush=True)
    return 2 if failed or broken else 0


if __name__ == "__main__":
    main()
