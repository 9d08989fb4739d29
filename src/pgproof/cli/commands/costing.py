"""cost: what each store costs a month, class by class, under the retention in force."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from pgproof import cost as costs
from pgproof.cli import render
from pgproof.cli.app import app
from pgproof.cli.options import AsJson, ConfigPath, Manners, Quiet, Sources, settings
from pgproof.config import Config, StoreSettings
from pgproof.config.stores import DirectorySettings, S3Settings
from pgproof.cost.bill import money
from pgproof.errors import ConfigError, UsageError
from pgproof.job import open_repository
from pgproof.manifest import seal
from pgproof.repository import Backup
from pgproof.retention import Policy, span_words
from pgproof.schedule import longest_gap, parse_cron, slots

_UNKNOWN_GAP = timedelta(days=30)
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)  # where the years that are played out begin; any day would do
_LEAST_GAP = timedelta(hours=1)  # backups made by hand in quick succession are no rate


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a source is backed up, in words, and the backups of years at that rate."""

    words: str
    gap: timedelta
    moments: list[datetime]


@app.command(name="cost")
def cost_(
    sources: Sources = None,
    store: Annotated[
        str | None, typer.Option("--store", metavar="NAME", help="Only this store; else all that are configured.")
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option("--provider", metavar="KEY", help="What it would cost there, such as aws/us-east-1."),
    ] = None,
    prices: Annotated[
        str | None, typer.Option("--prices", metavar="FILE", help="Your own prices, laid over those known.")
    ] = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """What offsite storage costs a month, by storage class, under the schedule and retention in force."""
    conf, manners = settings(config), Manners(json, quiet)
    table = _prices(Path(prices) if prices else conf.prices)
    chosen = [conf.store(store)] if store else list(conf.stores[:1] if provider else conf.stores)
    if provider:
        table.provider(provider)  # one that is not known is refused; of a store's own it is only told
    names = [conf.source(name).name for name in sources or []] or [one.name for one in conf.sources]
    documents = [_store(conf, table, one, names, provider, manners) for one in chosen]
    manners.document([one for one in documents if one])
    return 0


def tariff(store: StoreSettings) -> costs.Tariff | None:
    """What a store is billed by; None where nothing says so: a disk, a machine of one's own, an unnamed provider."""
    where = store.where
    if not isinstance(where, S3Settings):
        return None
    provider = where.provider or ("" if where.endpoint else f"aws/{where.region or 'us-east-1'}")
    return costs.Tariff(store.name, provider, where.storage_class or "STANDARD") if provider else None


def _store(
    conf: Config, table: costs.Prices, store: StoreSettings, names: list[str], asked: str | None, manners: Manners
) -> dict[str, Any] | None:
    """Tell one store's bill; None where there is none."""
    bill = tariff(store)
    if asked and not (bill and bill.provider == asked):
        bill = costs.Tariff(store.name, asked, "")
    if bill is None:
        manners.say(f"{store.name}: {_no_bill(store)}. `pgproof cost --provider KEY` says what one would be.")
        return None
    try:
        provider = table.provider(bill.provider)
    except UsageError as error:
        manners.say(f"{store.name}: {error.message}; {error.hint}")
        return None
    loads = [_load(conf, name, store.retention or conf.retention) for name in names]
    found = [(rate, load) for rate, load in loads if load]
    if not found:
        manners.say(f"{store.name}: there are no backups yet to reckon with. `pgproof backup` makes the first.")
        return None
    copied = bool(asked) or store is not conf.stores[0]
    return _tell(bill, provider, found, manners, copied=copied)


def _no_bill(store: StoreSettings) -> str:
    if isinstance(store.where, DirectorySettings):
        return "a disk of your own: no bill"
    if isinstance(store.where, S3Settings):
        return "its provider is not known: write `provider` in its table"
    return "a machine of your own: no bill"


def _prices(own: Path | None) -> costs.Prices:
    """The prices that are shipped, with the user's laid over them. Raises ConfigError."""
    known = costs.shipped()
    if own is None:
        return known
    try:
        text = own.read_text(encoding="utf-8-sig")
    except OSError as error:
        hint = "the file of prices is named by --prices, or by `prices` in [cost]"
        raise ConfigError(f"cannot read {own}: {error.strerror}", hint=hint) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{own} is not UTF-8 text", hint="save it as UTF-8") from error
    return costs.merge(known, costs.load(text, own.name))


def _load(conf: Config, source: str, policy: Policy) -> tuple[Rate, costs.Load | None]:
    """What one source stores, by its backups in the first store; None while it has none."""
    backups, _ = open_repository(conf.stores[0]).backups(source)
    rate = _rate(conf, backups, policy)
    if not backups:
        return rate, None
    newest = backups[-1]
    usual = median(one.manifest.size for one in backups[-conf.health.look_back :])
    scale = usual / (newest.manifest.size or 1)
    small = [seal(newest.manifest), *(seal(record) for record in newest.records)]
    life = costs.simulate(rate.moments, policy, rate.gap)
    parts = tuple(part.size * scale for part in newest.manifest.parts)
    return rate, costs.Load(source, parts, tuple(float(len(one)) for one in small), life)


def _rate(conf: Config, backups: list[Backup], policy: Policy) -> Rate:
    """By the schedule; else by what is observed; else one a month is supposed."""
    if conf.schedule.backup:
        cron = parse_cron(conf.schedule.backup)
        gap = longest_gap(cron)
        moments = list(slots(cron, UTC, _FIRST, _FIRST + costs.timeline(policy, gap)))
        return Rate(f'scheduled "{conf.schedule.backup}"', gap, moments)
    began = sorted(one.manifest.began for one in backups)
    if len(began) > 1:
        gap = max((began[-1] - began[0]) / (len(began) - 1), _LEAST_GAP)
        return Rate("as often as observed", gap, costs.evenly(gap, policy, _FIRST))
    words = "one a month supposed, as there is no schedule"
    return Rate(words, _UNKNOWN_GAP, costs.evenly(_UNKNOWN_GAP, policy, _FIRST))


def _tell(
    bill: costs.Tariff,
    provider: costs.Provider,
    found: list[tuple[Rate, costs.Load]],
    manners: Manners,
    *,
    copied: bool,
) -> dict[str, Any]:
    loads = [load for _, load in found]
    verdict = costs.judge(provider, loads, copied=copied)
    present = bill.storage_class or None
    advice = costs.advise(verdict, present, provider.currency)
    lines = [f"{bill.store} at {provider.key}, prices of {provider.date} in {provider.currency}"]
    lines += [f"  {_load_words(rate, load)}" for rate, load in found]
    lines += ["", _table(verdict, present), *(f"  {line}" for line in _notes(verdict)), "", advice]
    manners.say("\n".join(lines))
    return _document(bill, provider, loads, verdict, advice)


def _load_words(rate: Rate, load: costs.Load) -> str:
    life = load.life
    ages = life.ages
    mean = span_words(timedelta(days=round(sum(ages) / len(ages)))) if ages else ""
    gone = f"each deleted after {mean} on average" if mean else "none is deleted"
    many = f"{life.made:.1f} a month ({rate.words}), {life.held:.1f} held, {gone}"
    return f"{load.source}: {render.size(load.size)} a backup, {many}"


def _table(verdict: costs.Verdict, present: str | None) -> str:
    head = (
        "CLASS",
        "GB STORED",
        "STORAGE",
        "DELETED EARLY",
        "REQUESTS",
        "READ BACK",
        "A MONTH",
        "A RESTORE",
        "READABLE",
    )
    rows = [
        (
            one.storage_class + (" (now)" if one.storage_class == present else ""),
            f"{one.stored_gb_month:,.3f}",
            money(one.storage),
            money(one.early_deletion),
            money(one.requests),
            money(one.read_back),
            money(one.total) + (" *" if one is verdict.cheapest else ""),
            money(one.restore),
            one.wait,
        )
        for one in verdict.estimates
    ]
    return render.table(head, rows)


def _notes(verdict: costs.Verdict) -> list[str]:
    """What the table has no room for: colder classes that do not pay, other ways to retrieve, the prices' notes."""
    lines = ["* the cheapest"]
    if any(one.read_back for one in verdict.estimates):
        lines.append(
            "`copy` reads back what it wrote, but from archives; at a machine of the provider's it pays no egress"
        )
    lines += [f"{name} does not pay: {why}" for name, why in verdict.against]
    for one in verdict.estimates:
        lines += [
            f"{one.storage_class} by {way.name}: a restore for {money(way.cost)}, readable after {way.wait}"
            for way in one.restores[1:]
        ]
        lines += [f"{one.storage_class}: {one.note}"] if one.note else []
    return lines


def _document(
    bill: costs.Tariff,
    provider: costs.Provider,
    loads: list[costs.Load],
    verdict: costs.Verdict,
    advice: str,
) -> dict[str, Any]:
    return {
        "store": bill.store,
        "provider": provider.key,
        "storage_class": bill.storage_class or None,
        "currency": provider.currency,
        "date": provider.date,
        "sources": [
            {"source": one.source, "size": round(one.size), "made": one.life.made, "held": one.life.held}
            for one in loads
        ],
        "classes": [_class(one) for one in verdict.estimates],
        "cheapest": verdict.cheapest.storage_class,
        "against": dict(verdict.against),
        "advice": advice,
    }


def _class(one: costs.Estimate) -> dict[str, Any]:
    return {
        "class": one.storage_class,
        "stored_gb_month": one.stored_gb_month,
        "storage": one.storage,
        "early_deletion": one.early_deletion,
        "requests": one.requests,
        "read_back": one.read_back,
        "total": one.total,
        "restore": one.restore,
        "wait": one.wait,
        "restores": [{"name": way.name, "cost": way.cost, "wait": way.wait} for way in one.restores],
        "note": one.note,
    }
