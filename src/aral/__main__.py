"""``python -m aral`` is the command line."""

from aral.cli import main

main()
