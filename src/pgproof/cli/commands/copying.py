"""copy: bring every other store up to what the first one has."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from pgproof.cli import offsite, render
from pgproof.cli.app import app
from pgproof.cli.options import AsJson, ConfigPath, Manners, Quiet, Sources, settings
from pgproof.cli.recording import Doing, preparing, words
from pgproof.config import Config, StoreSettings
from pgproof.errors import UsageError


@app.command(name="copy")
def copy_(
    sources: Sources = None,
    store: Annotated[
        str | None, typer.Option("--store", metavar="NAME", help="Only to this store; else to all but the first.")
    ] = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Copy to the other stores what they lack or have damaged; every copied byte is read back.

    It runs after every backup too; by itself it catches up with what a store missed while it was down.
    """
    manners, doing = Manners(json, quiet), Doing("copy", words("copy", *sources or (), store=store), store or "")
    with preparing(doing, sources or []):
        conf = settings(config)
        others, names = _wanted(conf, sources, store)
    found = offsite.bring(conf, names, others, manners)
    for one in found:
        whats = [outcome.what for outcome in one.outcomes]
        if one.whole and set(whats) <= {"there", "left"}:
            manners.say(_up_to_date(one, whats.count("there"), whats.count("left")))
    manners.document(
        [
            {
                "store": one.store,
                "source": one.source,
                "error": one.error.message if one.error else None,
                "backups": msgspec.to_builtins(one.outcomes),
            }
            for one in found
        ]
    )
    codes = [one.error.exit_code if one.error else 0 if one.whole else 7 for one in found]
    return next((code for code in codes if code), 0)


def _wanted(conf: Config, sources: list[str] | None, store: str | None) -> tuple[Sequence[StoreSettings], list[str]]:
    """The stores to copy to, and the sources' names. Raises UsageError."""
    others = conf.stores[1:]
    if not others:
        raise UsageError("there is one store only", hint="configure a second one: [stores.offsite]")
    if store and conf.store(store) not in others:
        raise UsageError(f"{store} is the first store, which the others are copied from", hint="name another one")
    names = [conf.source(name).name for name in sources or []] or [one.name for one in conf.sources]
    return [conf.store(store)] if store else others, names


def _up_to_date(one: offsite.Brought, there: int, left: int) -> str:
    if not there + left:
        return f"There is no backup of {one.source} to copy to {one.store}."
    has = f"all {there} backups" if there > 1 and not left else render.count(there, "backup")
    more = f"; {left} are left out, which it would not keep" if left else ""
    return f"{one.store} has {has} of {one.source}{more}."
