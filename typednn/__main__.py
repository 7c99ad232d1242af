"""Runs the command `typednn` for `python -m typednn`."""

import sys

from typednn.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
