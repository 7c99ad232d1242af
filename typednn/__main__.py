"""`python -m typednn`: the command."""

import sys

from typednn.cli import main

if __name__ == "__main__":
    sys.exit(main())
