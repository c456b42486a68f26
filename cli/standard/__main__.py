"""`python -m cli.standard [--write]`: what `xietong check contracts` does, for the Makefile."""

import sys

from cli.standard.check import main

if __name__ == "__main__":
    main(write="--write" in sys.argv)
