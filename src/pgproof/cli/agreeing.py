"""Agreeing to something that matters: by typing a name at a terminal, or by a plan's hash."""

import sys

from pgproof.cli.watch import put_aside
from pgproof.errors import Refused


def agree(what: str, word: str, digits: str, yes: str | None, thing: str = "database") -> None:
    """Ask once, by the name of the `thing`. Without a terminal only `yes`, the hash of the plan that was
    shown, will do. Raises Refused.
    """
    if yes is not None:
        if yes != digits:
            raise Refused(f"the plan's hash is {digits}, not {yes}", hint="read the plan again: something has changed")
        return
    if not sys.stdin.isatty():
        raise Refused("there is no terminal to ask at", hint=f"read what is said above, then add --yes {digits}")
    with put_aside():
        print(f"{what}\nType the {thing}'s name to go on: ", end="", file=sys.stderr, flush=True)
        typed = sys.stdin.readline().strip()
    if typed != word:
        raise Refused("that is not its name: nothing was done", hint="run it again to go on after all")
