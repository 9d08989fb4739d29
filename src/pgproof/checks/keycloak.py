"""What a Keycloak database needs beyond being restored: versions compared, sessions chosen, what to know."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from pgproof.errors import Refused, UsageError

PRESET = "keycloak"
IMAGE, VERSION = "keycloak.image", "keycloak.version"  # what a manifest's `application` has of it

# Read in the backup's snapshot. The table has a row for each version that ever ran (DefaultMigrationManager.java).
FACTS: tuple[tuple[str, str], ...] = (
    (VERSION, "SELECT version FROM public.migration_model ORDER BY update_time DESC LIMIT 1"),
)

Sessions = Literal["keep", "drop-online", "drop-all"]
SESSIONS: tuple[Sessions, ...] = get_args(Sessions)
_DROPPING: dict[Sessions, tuple[str, str]] = {  # SQL and words, of a table
    "keep": ("", ""),
    "drop-online": ("DELETE FROM public.{} WHERE offline_flag = '0'", "delete the online sessions in {}"),
    "drop-all": ("TRUNCATE public.{}", "delete all sessions in {}"),
}
_CHOSEN: dict[Sessions, str] = {
    "keep": "the sessions of the time of the backup live on, and a logout after it is undone; "
    "--sessions drop-online or drop-all would end them",
    "drop-online": "the online sessions were dropped: everybody logs in again, offline tokens of before still work",
    "drop-all": "all sessions were dropped: everybody logs in again, and offline tokens must be asked for anew",
}
_SESSION_TABLES = ("offline_client_session", "offline_user_session")
_NUMBERS = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(?![\d.])")
Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL to run in a restored database before anybody uses it, and what it does in words. Twice is as good as once."""

    sql: str
    text: str


def wanted(checks: Iterable[str]) -> bool:
    """Whether a source's checks name the preset."""
    return any(one.strip() == PRESET for one in checks)


def choice(word: str) -> Sessions:
    """Raises UsageError for a word that is no choice."""
    if word not in SESSIONS:
        raise UsageError(f"{word!r} is no choice for sessions", hint=f"there are: {', '.join(SESSIONS)}")
    return word


def told(sessions: Sessions | None = None) -> tuple[str, ...]:
    """What a choice means, or each of them."""
    chosen = SESSIONS if sessions is None else (sessions,)
    return tuple(f"sessions {one}: {_CHOSEN[one]}" for one in chosen)


def after_restore(sessions: Sessions) -> tuple[Statement, ...]:
    """What to run in a restored database, as any role that may write to it, before Keycloak starts on it.

    Where the sessions are: both tables hold the online ones too since 26.0 ('0' online, '1' offline). The table of
    cluster members is there since 26.1; stale ones delay a start by up to 20 s. Keycloak estimates the number of
    rows by pg_class before it makes an index (upgrading guide), so statistics come last.
    """
    sql, text = _DROPPING[sessions]
    dropping = [
        Statement(_where_there(table, sql.format(table)), text.format(table)) for table in _SESSION_TABLES if sql
    ]
    emptied = _where_there("jgroups_ping", "TRUNCATE public.jgroups_ping")
    return (
        *dropping,
        Statement(emptied, "empty jgroups_ping, the members of a cluster that is gone"),
        Statement("ANALYZE", "make the planner's statistics anew (ANALYZE)"),
    )


def _where_there(table: str, sql: str) -> str:
    """The statement, where the table is: which tables there are depends on Keycloak's version."""
    return f"DO $do$ BEGIN IF to_regclass('public.{table}') IS NOT NULL THEN {sql}; END IF; END $do$"


def closing(sessions: Sessions, application: dict[str, str], *, owners: bool = True) -> tuple[str, ...]:
    """What whoever restored must know; `application` is the manifest's, `owners` whether owners were restored."""
    version = application.get(VERSION, "")
    image = f" (its image was {application[IMAGE]})" if IMAGE in application else ""
    which = f"start Keycloak {version}{image} on it or newer, a newer one migrates it for good" if version else ""
    whose = "" if owners else "Keycloak must log in as the role that restored: another may not read its tables"
    lines = (
        _CHOSEN[sessions],
        "the realms' keys came along: tokens of before that are checked by signature alone are valid until they expire",
        "passwords are the old ones, the bootstrap administrator's too: KC_BOOTSTRAP_ADMIN_* do nothing any more",
        "what was revoked, disabled or rotated after the backup is as it was before: do it again",
        which,
        whose,
    )
    return tuple(f"Keycloak: {line}" for line in lines if line)


def version_of(image: str) -> str:
    """The version that an image's tag begins with, "" where it says none: 26.4.7 of `keycloak/keycloak:26.4.7-1`."""
    _, colon, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    match = _NUMBERS.match(tag) if colon else None
    return match[0] if match else ""


def image_among(images: Iterable[str]) -> str:
    """The image of Keycloak among those of a source's services, "" where none or more than one is called so."""
    found = {one for one in images if "keycloak" in one.partition("@")[0].rpartition("/")[2].partition(":")[0]}
    return found.pop() if len(found) == 1 else ""


def migration(backup: str, keycloak: str) -> str:
    """What happens when this version of Keycloak starts over a database that `backup` ran on last; "" for nothing.

    Raises Refused for an older one: Keycloak itself only logs a warning (DefaultMigrationManager.java), and downgrading
    a database is not supported (its issues 31450, 41898). Only numbers that both have are compared: 26.4 is no older
    than 26.4.7.
    """
    before, after = _numbers(backup), _numbers(keycloak)
    if not before or not after:
        unknown = f"of the Keycloak that is to start ({keycloak or 'no version'})" if before else "of the backup"
        return f"the version {unknown} cannot be told: make sure that it is not older than {backup or 'the last one'}"
    length = min(len(before), len(after))
    if after[:length] < before[:length]:
        raise Refused(
            f"Keycloak {keycloak} is older than {backup}, which ran on this database when it was backed up",
            hint=f"start Keycloak {backup} or newer: an older one only warns, and goes on with tables it does not know",
        )
    if after[:length] == before[:length]:
        return ""
    return (
        f"Keycloak {keycloak} migrates the database from {backup} when it first starts on it; back to {backup} "
        "leads only another restore"
    )


def _numbers(version: str) -> Version:
    match = _NUMBERS.match(version)
    return tuple(int(one) for one in match.groups() if one is not None) if match else ()
