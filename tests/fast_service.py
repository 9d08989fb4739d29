"""The service under a clock that runs fast: `fast_service.py CONFIG NOTEBOOK FACTOR [BEGIN]`; tasks are real ones."""

import json
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pgproof import config
from pgproof.alerting import Policy
from pgproof.cli.attending import Attendant
from pgproof.cli.commands.service import logger
from pgproof.cli.recording import journal_file
from pgproof.daemon import Service, Watchers
from pgproof.monitor.endpoint import serve
from pgproof.monitor.journal import Journal


class File:
    """A notebook that is a JSON file, which a test can edit; the journal gets it too, as health reads it there."""

    def __init__(self, path: Path, journal: Journal) -> None:
        self.path, self.journal = path, journal

    def memories(self) -> Mapping[str, str]:
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def remember(self, key: str, text: str) -> None:
        self.path.write_text(json.dumps({**self.memories(), key: text}))
        self.journal.remember(key, text)


def main() -> int:
    path, notebook, factor = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    first = datetime.fromisoformat(sys.argv[4]) if len(sys.argv) > 4 else datetime.now(UTC)
    started = time.monotonic()

    def clock() -> datetime:
        return first + timedelta(seconds=(time.monotonic() - started) * factor)

    say = logger("json")
    attendant = Attendant(
        say,
        timedelta(seconds=10) * factor,
        Policy(gap=timedelta(0), most_turns=int(os.environ.get("FAST_TURNS", "3"))),
        Journal(journal_file()),
    )
    attendant.checked(config.load(path))
    watchers = Watchers(say, attendant.before, attendant.after, attendant.tick)
    address = os.environ.get("FAST_METRICS", "127.0.0.1:0")
    with serve(address, lambda: attendant.text, lambda: attendant.findings):
        load = lambda: attendant.checked(config.load(path))  # noqa: E731
        code = Service(load, File(notebook, Journal(journal_file())), watchers, clock, step=0.1).run()
        attendant.finish()
    return code


if __name__ == "__main__":
    sys.exit(main())
