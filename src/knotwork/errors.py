"""The one exception for a user's mistake, and the wrapper that turns it into one line and exit status 2."""

import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """Bad input: which file, row or parameter, what is wrong, what to do, in one line."""


def run_main(main: Callable[[], int | None]) -> None:
    """Call ``main`` and exit; a :class:`UserError` becomes one line on stderr and exit status 2."""
    try:
        status = main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        # The reader of our output, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status or 0)
