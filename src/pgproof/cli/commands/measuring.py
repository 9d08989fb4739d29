"""metrics: what Prometheus is to know, as text or as a file."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pgproof.cli.app import app
from pgproof.cli.options import ConfigPath, settings
from pgproof.cli.present import present
from pgproof.errors import Unreachable
from pgproof.monitor import textfile
from pgproof.monitor.metrics import exposition, families


@app.command()
def metrics(
    path: Annotated[
        Path | None,
        typer.Option(
            "--textfile",
            metavar="PATH",
            help="Write them to this file, which ends in .prom, for node_exporter's textfile collector.",
        ),
    ] = None,
    config: ConfigPath = None,
) -> int:
    """Print what Prometheus is to know, or write it to a file; a store that is down does not stop the rest.

    Ends with 6 when the first store cannot be asked, after all that is known all the same.
    """
    if path:
        textfile.check(path)
    seen = present(settings(config), datetime.now(UTC))
    shelves, text = seen.shelves, exposition(families(seen))
    if path:
        textfile.write(path, text)
    else:
        print(text.decode(), end="")
    for shelf in shelves:
        if shelf.error:
            print(f"pgproof: the store {shelf.store} cannot be asked: {shelf.error.message}", file=sys.stderr)
    return Unreachable.exit_code if shelves[0].error else 0
