"""recover --from: with nothing but a store's address, its credentials and what opens the backups."""

import getpass
import os
import sys
from collections.abc import Iterable

from pgproof import config
from pgproof.cli import render
from pgproof.config import Config, StoreSettings
from pgproof.errors import Refused, UsageError
from pgproof.job import open_repository
from pgproof.manifest import Kind, Manifest
from pgproof.secret import Secret


def bare(url: str, name: str | None, to: str | None, password: str | None) -> tuple[Config, Kind]:
    """The configuration of one source out of the newest backup that a store has of it, and the kind that is meant.
    `name` is NAME, NAME:volume, or None where the store has but one. Raises PgproofError.
    """
    if to is not None and _has_password(to):
        hint = "write the URL without it, and set PGPASSWORD or --password env:NAME, file:PATH or exec:COMMAND"
        raise UsageError("--to has a password in it, which everybody on this machine could read", hint=hint)
    store = config.store_at(url, os.environ)
    newest = _chosen(store, name)
    made = config.config_of(store, newest, to, password, os.environ, _typed(newest))
    return made, newest.kind


def _chosen(store: StoreSettings, name: str | None) -> Manifest:
    whole, _ = open_repository(store).backups()
    there = [one.manifest for one in whole]
    if not there:
        raise Refused(f"there is no backup in {store.url}", hint="is it the right address, down to the prefix?")
    plain, _, kind = (name or "").partition(":")
    sources = sorted({one.source for one in there})
    if not plain and len(sources) > 1:
        raise UsageError("which source is to be recovered?", hint=f"there are: {'; '.join(_told(there))}")
    fit = [one for one in there if plain in ("", one.source) and kind in ("", one.kind)]
    if not fit:
        raise UsageError(f"{store.url} has no backup of {name}", hint=f"there are: {'; '.join(_told(there))}")
    logical = [one for one in fit if one.kind == "logical"]
    return max(logical or fit, key=lambda one: one.began)


def _told(there: Iterable[Manifest]) -> list[str]:
    """Each source and kind with its newest backup."""
    newest = {(one.source, one.kind): one for one in sorted(there, key=lambda one: one.began)}
    names = {(source, kind): source if kind == "logical" else f"{source}:{kind}" for source, kind in newest}
    return [f"{names[key]} (newest of {render.moment(one.began)})" for key, one in sorted(newest.items())]


def _typed(newest: Manifest) -> Secret | None:
    """Asked for where it is needed, nothing else has it, and somebody is there."""
    known = {"GPG_PASSPHRASE", "GPG_PASSPHRASE_FILE"} & os.environ.keys()
    if newest.main.encryption != "gpg" or known or not sys.stdin.isatty():
        return None
    text = getpass.getpass("Passphrase of the backups (empty: a secret key of gpg's own): ")
    return Secret(text) if text else None


def _has_password(to: str) -> bool:
    before, at, _ = to.partition("://")[2].rpartition("@")
    return "password=" in to or (bool(at) and ":" in before)
