"""`python -m pgproof` is the program `pgproof`."""

from pgproof.cli.app import main

main()
