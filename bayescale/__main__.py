"""Run the command line, as ``bayescale`` or with ``python -m bayescale``."""

import sys


def run() -> None:
    """Load the command line and run it; who stops it while it loads sees no trace."""
    try:
        from bayescale.cli import main

        main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    run()
