"""Containers that a run which was cut off left stopped are started again, by whichever command comes next."""

import sys
from collections.abc import Sequence

from pgproof.errors import PgproofError
from pgproof.job import put_back_containers, stopped_folder
from pgproof.sources.volume import Left


def put_back() -> Sequence[Left]:
    """Start them, and say so on standard error; whoever could not be started is said and returned."""
    if not any(stopped_folder().glob("*.json")):
        return ()
    try:
        left = put_back_containers()
    except PgproofError as error:
        print(f"pgproof: containers that a backup had stopped may still be down: {error.message}", file=sys.stderr)
        return (Left("containers", error.message),)
    for one in left:
        print(f"pgproof: {one.name} was stopped for a backup and does not start: {one.why}", file=sys.stderr)
    return left
