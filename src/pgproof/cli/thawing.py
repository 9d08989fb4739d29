"""Waiting for parts that lie in an archive: asked for, told how long it takes, gone on with when they are there."""

import sys
import time
from itertools import chain, repeat

from pgproof.manifest import Manifest
from pgproof.repository import Repository
from pgproof.stream.progress import Progress


def readable(repository: Repository, manifest: Manifest, progress: Progress) -> None:
    """Come back when every part can be read. Ctrl-C ends the waiting and not the asking: run it again later."""
    told = ""
    for pause in chain((1, 2, 5, 10, 30), repeat(60)):
        thaw = repository.thaw(manifest)
        if thaw is None:
            return
        if thaw.text != told:
            told = thaw.text
            print(
                f"pgproof: {thaw.waiting} parts of {manifest.id} lie in an archive and have been asked for: {told}."
                " Waiting; Ctrl-C ends the waiting, and the next run goes on with it.",
                file=sys.stderr,
            )
        progress.begin(f"waiting for {thaw.waiting} parts from the archive")
        time.sleep(pause)
