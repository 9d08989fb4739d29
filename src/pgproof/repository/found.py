"""What a repository tells of a backup, and which one a name means."""

from dataclasses import dataclass
from typing import Literal

from pgproof.errors import Damaged, PgproofError, UsageError
from pgproof.manifest import Manifest, Record, state
from pgproof.retention import Candidate


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup as the repository sees it: what it is, what was found of it, whether it is pinned."""

    manifest: Manifest
    records: tuple[Record, ...]
    pinned: bool

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def state(self) -> Literal["stored", "intact", "proven", "damaged"]:
        return state(self.records)

    @property
    def candidate(self) -> Candidate:
        """What retention and health see of it."""
        made = self.manifest
        rows = None if made.cluster else made.evidence.rows
        return Candidate(self.id, made.sequence, made.began, self.state, self.pinned, made.size, rows, made.kind)


@dataclass(frozen=True, slots=True)
class Broken:
    """A backup whose manifest or record cannot be believed."""

    id: str
    error: PgproofError


def refuse_older(chosen: Backup, broken: list[Broken]) -> None:
    """A newer backup that is damaged is not passed over in silence: whoever wants the older one names it."""
    newer = [one for one in broken if one.id.split("/")[0] == chosen.manifest.source and one.id > chosen.id]
    if newer:
        raise Damaged(
            f"{newer[-1].id} is newer and damaged: {newer[-1].error.message}",
            hint=f"to use the one before it all the same, name it: {chosen.id}",
        )


def matching(name: str, backups: list[Backup]) -> Backup | None:
    word, _, kind = name.partition(":")
    if word == "latest" or any(one.manifest.source == word for one in backups):
        of_kind = [one for one in backups if not kind or one.manifest.kind == kind]
        of_source = [one for one in of_kind if word in ("latest", one.manifest.source)]
        sources = {one.manifest.source for one in of_source}
        if len(sources) > 1:
            raise UsageError(
                f"{name!r} could be of any of {', '.join(sorted(sources))}",
                hint="name the source instead of `latest`",
            )
        return of_source[-1] if of_source else None
    chosen = [one for one in backups if one.id.startswith(name) or one.id.split("/")[1].startswith(name)]
    if len(chosen) > 1:
        raise UsageError(
            f"{name!r} is the beginning of {len(chosen)} backups: {', '.join(one.id for one in chosen[:5])}",
            hint="give more of the id",
        )
    return chosen[0] if chosen else None
