"""The marker: a small object that says which store this is, so that another one never takes its place unnoticed."""

import json
import secrets
import shlex

from pgproof.errors import NotFound, PgproofError, Refused, Unreachable
from pgproof.stores.names import MARKER
from pgproof.stores.store import Store

_MOST_BYTES = 1 << 16  # a marker larger than this is none of ours


def read(store: Store, place: str) -> str | None:
    """The id that a store's marker gives it, or None where there is none. Raises Unreachable."""
    try:
        with store.open(MARKER) as stream:
            return str(json.loads(stream.read(_MOST_BYTES))["store"])
    except NotFound:
        return None
    except (ValueError, KeyError, TypeError) as error:
        hint = f"a store has an object {MARKER}; is the disk whole and mounted, is the address right?"
        raise Unreachable(f"the marker of the store {place} cannot be read: {error}", hint=hint) from error


def make(store: Store) -> str:
    """Give a store its marker, with a new id, and return the id. What lies there already is left alone."""
    made = secrets.token_hex(16)
    content = json.dumps({"store": made, "about": "pgproof keeps backups here; do not remove this file"})
    with store.create(MARKER) as sink:
        sink.write(content.encode() + b"\n")
    return made


def compare(found: str | None, expected: str | None, place: str) -> None:
    """Refuse a store that is not the one remembered for this place. Raises Refused."""
    if expected is None or found == expected:
        return
    what = "has no marker file" if found is None else "is another store"
    raise Refused(
        f"{place} {what}: it is not the store that was used before",
        hint=f"is its disk mounted? If it was replaced on purpose, run: pgproof init --new-store {shlex.quote(place)}",
    )


def settle(store: Store, place: str, expected: str | None, *, create: bool) -> str | None:
    """Which store this is; with `create` one that is new gets its marker. Raises Refused, Unreachable."""
    found = read(store, place)
    compare(found, expected, place)
    if found is None and create:
        try:
            found = make(store)
        except PgproofError:
            found = read(store, place)  # another run made it just now
            if found is None:
                raise
    return found
