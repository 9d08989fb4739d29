"""`python -m pgproof` is the program `pgproof`."""

from pgproof.cli.main import main

main()
