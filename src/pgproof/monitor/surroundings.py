"""What this machine has to say of each source: programs, secrets, containers that are left stopped."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pgproof.config import Config, SourceSettings
from pgproof.errors import PgproofError
from pgproof.finding import Finding
from pgproof.job import stopped_folder
from pgproof.postgres import tools
from pgproof.sources.volume import left_stopped


def surroundings(conf: Config, source: SourceSettings, major: int, now: datetime) -> tuple[Finding, ...]:
    """`major` is the version of the source's server, 0 where it is not known."""
    return (*_floor(source.name, major), *_left(source), *_secrets(conf, source, now))


def _floor(source: str, major: int) -> Iterator[Finding]:
    with contextlib.suppress(PgproofError):
        used = tools.for_dump(major)
        if major and used.below_floor:
            text = f"{source}: pg_dump {used.version} is older than the last security round of its major version"
            yield Finding("security-floor", "info", source, text, "update the PostgreSQL client programs")


def _left(source: SourceSettings) -> Iterator[Finding]:
    if source.docker is None:
        return
    for one in left_stopped(stopped_folder(), source.docker.volume):
        text = f"{source.name}: {one.name} was stopped for a backup, and nothing tells that it was started again"
        hint = f"any pgproof command tries again; see: docker logs {one.name}"
        yield Finding("left-stopped", "critical", source.name, text, hint)


def _secrets(conf: Config, source: SourceSettings, now: datetime) -> Iterator[Finding]:
    """Secrets in files, by the time they were last written: a password that never changes is known to many."""
    for what, reference in (("password", source.password), ("passphrase", conf.encryption.passphrase)):
        if reference is None or reference.kind != "file":
            continue
        with contextlib.suppress(OSError):
            written = datetime.fromtimestamp(Path(reference.value).stat().st_mtime, UTC)
            if now - written > conf.health.secret_age:
                text = f"{source.name}: the {what} in {reference.value} has been the same since {written:%Y-%m-%d}"
                hint = "change it; keep an old passphrase as long as there are backups of it"
                yield Finding("secret-old", "info", source.name, text, hint)
