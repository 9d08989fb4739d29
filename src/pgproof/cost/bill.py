"""The bill of a month in each storage class, from what is stored and how long it stays; and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pgproof.cost.lifetimes import MONTH, Lifetimes
from pgproof.cost.prices import Provider, Retrieval, StorageClass

PIECE = 8 << 20  # bytes of the first pieces of an upload; as stores.s3 sends them, twice as much after each thousand
_THOUSAND, _DOUBLINGS = 1000, 9
AT_ONCE = "at once"  # the words of prices.toml for a class that needs no retrieval first
_MONTH_DAYS = MONTH.total_seconds() / 86400
_CENT = 0.01


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a store is billed by: a provider's key in the prices, such as "aws/us-east-1", and a class of it."""

    store: str
    provider: str
    storage_class: str


@dataclass(frozen=True, slots=True)
class Load:
    """What one source puts into a store: bytes of the parts of a backup and of its small files, and how long."""

    source: str
    parts: tuple[float, ...]
    small: tuple[float, ...]
    life: Lifetimes

    @property
    def size(self) -> float:
        return sum(self.parts) + sum(self.small)


@dataclass(frozen=True, slots=True)
class Restore:
    """One full restore of every source: what fetching it costs, and how long until it can be read."""

    name: str
    cost: float
    wait: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """A month in one class; all but `stored_gb_month` and the days is money.

    `rate` is the class's price of a GB and month, `minimum_days` what it bills at least, `mean_age` the days after
    which backups are deleted (None while none are).
    """

    storage_class: str
    stored_gb_month: float
    storage: float
    early_deletion: float
    requests: float
    read_back: float
    restores: tuple[Restore, ...]
    rate: float
    minimum_days: float
    mean_age: float | None
    note: str = ""

    @property
    def total(self) -> float:
        """Money per month."""
        return self.storage + self.early_deletion + self.requests + self.read_back

    @property
    def restore(self) -> float:
        """Money for one full restore: retrieval, requests and egress."""
        return self.restores[0].cost

    @property
    def wait(self) -> str:
        """How long until a restore can begin to read, in words."""
        return self.restores[0].wait


@dataclass(frozen=True, slots=True)
class Verdict:
    """The estimates in the prices' order, the cheapest per month, the plain one, and why colder ones do not pay."""

    estimates: tuple[Estimate, ...]
    cheapest: Estimate
    plain: Estimate
    against: tuple[tuple[str, str], ...]

    def of(self, storage_class: str | None) -> Estimate | None:
        return next((one for one in self.estimates if one.storage_class == storage_class), None)


def estimate(
    provider: Provider, chosen: StorageClass, loads: Sequence[Load], piece: int = PIECE, *, copied: bool = False
) -> Estimate:
    """A month in the class `chosen`, and a full restore of all `loads`; what is `copied` is read back.

    With h backups held, m made and d deleted a month:

        storage         h * (B * stored + P * stored of plain) / gb, for at least `least_gb`
        early deletion  d * mean(max(0, minimum days - age)) / 30.4375 * B * stored / gb, and the same for P
        requests        m * (uploads of the parts + PUTs of the small files)
        read back       m * a restore of the parts, where `copy` brought them; not from an archive
        restore         bytes / gb * (retrieval + egress) + one retrieval and one GET for each object

    B are the parts' bytes as the class bills them (not below the minimum size, plus its overhead); P those billed in
    the plain class: the small files, and each part's overhead there.
    """
    plain = provider.storage_class(provider.plain)
    billed = [(_billed(chosen, load.parts), _billed_plain(chosen, plain, load), load.life) for load in loads]
    storage = sum(life.held * (own * chosen.stored + rest * plain.stored) for own, rest, life in billed)
    gb_months = sum(life.held * (own + rest) for own, rest, life in billed) / provider.gb
    early = sum(_early(chosen, own, life) + _early(plain, rest, life) for own, rest, life in billed)
    ages = [age for load in loads for age in load.life.ages]
    return Estimate(
        chosen.name,
        sum(load.life.held * load.size for load in loads) / provider.gb,
        storage / provider.gb + max(0.0, provider.least_gb - gb_months) * chosen.stored,
        early / provider.gb,
        sum(load.life.made * _upload(chosen, plain, load, piece) for load in loads),
        sum(load.life.made * _read_back(chosen, load, provider.gb) for load in loads) if copied else 0.0,
        tuple(_restore(provider, chosen, plain, way, loads) for way in chosen.retrievals),
        chosen.stored,
        chosen.minimum_days,
        fmean(ages) if ages else None,
        "; ".join(filter(None, (chosen.note, _least_words(provider, gb_months)))),
    )


def judge(provider: Provider, loads: Sequence[Load], piece: int = PIECE, *, copied: bool = False) -> Verdict:
    """Every class of the provider, and the cheapest per month: the first of those that cost the same."""
    found = tuple(estimate(provider, one, loads, piece, copied=copied) for one in provider.classes)
    cheapest = min(found, key=lambda one: one.total)
    colder = [one for one in found if one.rate < cheapest.rate]
    plain = next(one for one in found if one.storage_class == provider.plain)
    return Verdict(found, cheapest, plain, tuple((one.storage_class, _why(one, cheapest)) for one in colder))


def advise(verdict: Verdict, present: str | None, currency: str) -> str:
    """One sentence: stay, or move, and what that is worth. `present` is the class in use, if any is."""
    best, now = verdict.cheapest, verdict.of(present)
    warm = now or verdict.plain
    if warm.total - best.total < _CENT:
        close = "nothing is cheaper" if warm is best else f"{best.storage_class} would save less than a cent"
        return (
            f"{'Stay with' if now else 'Take'} {warm.storage_class}, {money(warm.total)} {currency} a month: {close}."
        )
    cost = f"{best.storage_class}, {money(best.total)} {currency} a month"
    note = f" ({best.note})" if best.note else ""
    verb = "Move to" if now else "Take"
    return f"{verb} {cost} instead of {money(warm.total)} in {warm.storage_class}{note}{_but_waits(verdict, currency)}."


def money(amount: float) -> str:
    """Two decimals, four below 1, as the bill of a small database is pennies."""
    if amount == 0:
        return "0"
    if amount < 0.0001:
        return "<0.0001"
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}"


def _billed(chosen: StorageClass, sizes: Sequence[float]) -> float:
    return sum(max(size, chosen.minimum_size) + chosen.overhead for size in sizes)


def _billed_plain(chosen: StorageClass, plain: StorageClass, load: Load) -> float:
    return _billed(plain, load.small) + len(load.parts) * chosen.overhead_plain


def _early(one: StorageClass, size: float, life: Lifetimes) -> float:
    """Money times bytes: what is missing of the minimum days is billed as if it were still there."""
    missing = fmean(max(0.0, one.minimum_days - age) for age in life.ages) if life.ages else 0.0
    return life.deleted * missing / _MONTH_DAYS * size * one.stored


def _upload(chosen: StorageClass, plain: StorageClass, load: Load, piece: int) -> float:
    """The requests of one backup: small objects by one PUT; larger ones begun, sent in parts, and completed."""
    cost = len(load.small) * plain.put
    for size in load.parts:
        before = plain.put if chosen.parts_at_plain else chosen.put
        cost += chosen.put if size <= piece else chosen.put + (_pieces(size, piece) + 1) * before
    return cost / 1000


def _pieces(size: float, piece: int) -> float:
    """In how many pieces a part is sent."""
    count = 0
    for _ in range(_DOUBLINGS):
        if size <= _THOUSAND * piece:
            break
        size, count, piece = size - _THOUSAND * piece, count + _THOUSAND, piece * 2
    return count + -(-size // piece)


def _read_back(chosen: StorageClass, load: Load, gb: float) -> float:
    way = chosen.retrievals[0]
    return _fetch(chosen, way, load.parts, gb) if way.wait == AT_ONCE else 0.0


def _restore(
    provider: Provider, chosen: StorageClass, plain: StorageClass, way: Retrieval, loads: Sequence[Load]
) -> Restore:
    cost = sum(
        _fetch(chosen, way, load.parts, provider.gb) + _fetch(plain, plain.retrievals[0], load.small, provider.gb)
        for load in loads
    )
    return Restore(way.name, cost, way.wait)


def _fetch(one: StorageClass, way: Retrieval, sizes: Sequence[float], gb: float) -> float:
    return sum(sizes) / gb * (way.per_gb + one.egress) + len(sizes) * (way.per_1000 + one.get) / 1000


def _least_words(provider: Provider, gb_months: float) -> str:
    return f"at least {provider.least_gb:,.0f} GB are billed" if gb_months < provider.least_gb else ""


def _why(colder: Estimate, cheapest: Estimate) -> str:
    """What eats the lower rate: the largest of what the class bills besides the bytes that are there."""
    padding = colder.storage - colder.rate * colder.stored_gb_month
    worst = max(colder.early_deletion, colder.requests, padding, colder.read_back - cheapest.read_back)
    if worst == colder.early_deletion and colder.mean_age is not None:
        days = f"backups are deleted after {colder.mean_age:.0f} days on average"
        why = f"{days} and billed for {colder.minimum_days:.0f} or more"
    elif worst == colder.requests:
        why = "its requests cost more than its storage saves"
    elif worst > padding:
        why = "reading back what was copied costs more than its storage saves"
    else:
        why = "its objects are small, and each is billed as more than it is"
    return f"{why} ({money(colder.total)} a month, {cheapest.storage_class} {money(cheapest.total)})"


def _but_waits(verdict: Verdict, currency: str) -> str:
    """What a class that cannot be read at once means for a restore, and which one could be."""
    best = verdict.cheapest
    if best.wait == AT_ONCE:
        return ""
    unread = any(one.read_back for one in verdict.estimates)
    words = f"; {'copies are then not read back, and ' if unread else ''}a restore {'' if unread else 'then '}waits"
    words += f" {best.wait} and costs {money(best.restore)} {currency}"
    warm = [one for one in verdict.estimates if one.wait == AT_ONCE]
    if not warm:
        return words
    other = min(warm, key=lambda one: one.total)
    return f"{words} (cheapest that is read at once: {other.storage_class}, {money(other.total)})"
