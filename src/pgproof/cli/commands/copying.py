"""copy: bring every other store up to what the first one has."""

from typing import Annotated

import msgspec
import typer

from pgproof.cli import offsite
from pgproof.cli.app import app
from pgproof.cli.options import AsJson, ConfigPath, Manners, Quiet, Sources, settings
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
    conf, manners = settings(config), Manners(json, quiet)
    others = conf.stores[1:]
    if not others:
        raise UsageError("there is one store only", hint="configure a second one: [stores.offsite]")
    if store and conf.store(store) not in others:
        raise UsageError(f"{store} is the first store, which the others are copied from", hint="name another one")
    names = [conf.source(name).name for name in sources or []] or [one.name for one in conf.sources]
    found = offsite.bring(conf, names, [conf.store(store)] if store else others, manners)
    for one in found:
        there = sum(outcome.what == "there" for outcome in one.outcomes)
        if one.whole and there == len(one.outcomes):
            manners.say(f"{one.store} has all {there} backups of {one.source}.")
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
