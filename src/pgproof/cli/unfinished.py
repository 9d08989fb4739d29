"""What was cut off half way, recoveries and exchanges of volumes, said on standard error by whatever is run next."""

import sys
from collections.abc import Iterable
from pathlib import Path

from pgproof.actions.recover.journal import last_words, load
from pgproof.errors import PgproofError
from pgproof.job import stopped_folder
from pgproof.sources.volume import alone


def say_unfinished(recoveries: Iterable[Path], exchanges: Iterable[Path]) -> None:
    """By the records in the state folder."""
    for one in exchanges:
        with alone(stopped_folder() / one.name) as mine:
            if not mine:
                continue  # it is under way
        how = f"`pgproof restore BACKUP --to volume:{one.stem} --replace`, or a recovery of it, carries on"
        print(f"pgproof: the files of the volume {one.stem} are half exchanged: {how}", file=sys.stderr)
    for path in recoveries:
        try:
            found = load(path)
        except PgproofError as error:
            print(f"pgproof: {error.message}", file=sys.stderr)
            continue
        if found and found.is_open:
            print(
                f"pgproof: a recovery of {found.argument} is under way or was cut off, {last_words(found)};"
                f" services may be stopped: `pgproof recover {found.argument}` says where it stands",
                file=sys.stderr,
            )
