"""What storage costs: the table of prices, lifetimes under a policy, the bill of each class, and the command."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgproof import cost
from pgproof.cost import Lifetimes, Load
from pgproof.errors import ConfigError, UsageError
from pgproof.retention import Candidate, Policy, decide
from pgproof.schedule import longest_gap, parse_cron, slots
from tests.conftest import Program, Servers
from tests.kit import run

TABLE = """
date = 2026-11-01
currency = "EUR"
[providers."here/1"]
gb = 1000000000
plain = "WARM"
[providers."here/1".classes.WARM]
stored = 0.02
put = 5
get = 0.4
egress = 0.1
minimum_days = 0
minimum_size = 0
retrieval.Standard = { per_gb = 0, per_1000 = 0, wait = "at once" }
[providers."here/1".classes.COLD]
stored = 0.004
put = 20
get = 10
egress = 0.1
minimum_days = 90
minimum_size = 10000000
retrieval.Standard = { per_gb = 0.03, per_1000 = 2, wait = "at once" }
[providers."here/1".classes.FROZEN]
stored = 0.001
put = 50
get = 0.4
egress = 0.1
minimum_days = 120.4375
minimum_size = 0
overhead = 500000
overhead_plain = 100000
parts_at_plain = true
retrieval.Standard = { per_gb = 0.02, per_1000 = 100, wait = "12 hours" }
retrieval.Bulk = { per_gb = 0.0025, per_1000 = 25, wait = "48 hours" }
"""
HERE = cost.load(TABLE, "here.toml").provider("here/1")
SHIPPED = cost.shipped()
PART = 10**9
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
NIGHTLY = "0 2 * * *"
GIB = 2**30


LIFE = Lifetimes(10, 5, 5, (59.5625,))  # ten are held; five are made and five, 59.5625 days old, deleted a month


def load(*parts: float, small: tuple[float, ...] = (), life: Lifetimes = LIFE) -> Load:
    return Load("db", parts, small, life)


def moments(schedule: str, span: timedelta) -> list[datetime]:
    return list(slots(parse_cron(schedule), UTC, FIRST - timedelta.resolution, FIRST + span))


def lived(schedule: str, policy: Policy) -> Lifetimes:
    cron = parse_cron(schedule)
    gap = longest_gap(cron)
    return cost.simulate(moments(schedule, cost.timeline(policy, gap)), policy, gap)


# -- the bill ---------------------------------------------------------------------------------------

# A backup has parts of 3 GB and 1 MB and a file of 1,000 B.
SOME = load(3e9, 1e6, small=(1000.0,))


def test_the_bill_of_a_plain_class_is_the_sum_of_storage_and_requests() -> None:
    bill = cost.estimate(HERE, HERE.storage_class("WARM"), [SOME], PART)
    assert math.isclose(bill.stored_gb_month, 10 * 3.001001)
    assert math.isclose(bill.storage, 10 * 3.001001 * 0.02)
    assert bill.early_deletion == 0
    # 3 GB in pieces of 1 GB: begin, 3, complete; 1 MB and the small file: one each
    assert math.isclose(bill.requests, 5 * (5 + 1 + 1) * 5 / 1000)
    assert math.isclose(bill.total, 0.6002002 + 0.175)
    # 3.001001 GB leave, by three GETs
    assert math.isclose(bill.restore, 3.001001 * 0.1 + 3 * 0.4 / 1000)
    assert bill.wait == "at once"


def test_a_colder_class_bills_small_objects_as_larger_and_deleted_ones_to_their_minimum() -> None:
    bill = cost.estimate(HERE, HERE.storage_class("COLD"), [SOME], PART)
    # 1 MB counts as 10 MB; the small file stays in WARM
    assert math.isclose(bill.storage, 10 * (3.01 * 0.004 + 0.000001 * 0.02))
    # 90 - 59.5625 = 30.4375 days are missing: a month
    assert math.isclose(bill.early_deletion, 5 * 1 * 3.01 * 0.004)
    assert math.isclose(bill.requests, 5 * ((5 + 1) * 20 + 1 * 5) / 1000)
    parts = 3.001 * (0.03 + 0.1) + 2 * (2 + 10) / 1000
    assert math.isclose(bill.restore, parts + 0.000001 * 0.1 + 0.4 / 1000)


def test_an_archive_class_bills_its_overhead_and_an_upload_in_parts_at_the_plain_rate() -> None:
    bill = cost.estimate(HERE, HERE.storage_class("FROZEN"), [SOME], PART)
    # two objects: 500 kB each at its own rate, 100 kB each at WARM's, where the 1,000 B are too
    assert math.isclose(bill.storage, 10 * (3.002 * 0.001 + 0.000201 * 0.02))
    # 120.4375 - 59.5625 = 60.875 days are missing: two months
    assert math.isclose(bill.early_deletion, 5 * 2 * 3.002 * 0.001)
    # begin and 3 pieces at WARM's rate, complete at its own; 1 MB at its own; the small file at WARM's
    assert math.isclose(bill.requests, 5 * ((4 * 5 + 50) + 50 + 5) / 1000)
    standard, bulk = bill.restores
    small = 0.000001 * 0.1 + 0.4 / 1000
    assert math.isclose(standard.cost, 3.001 * 0.12 + 2 * (100 + 0.4) / 1000 + small)
    assert math.isclose(bulk.cost, 3.001 * 0.1025 + 2 * (25 + 0.4) / 1000 + small)
    assert (bill.wait, bulk.wait) == ("12 hours", "48 hours")


def test_amazon_bills_two_to_the_thirtieth_bytes_as_a_gb() -> None:
    amazon = SHIPPED.provider("aws/us-east-1")
    bill = cost.estimate(
        amazon, amazon.storage_class("DEEP_ARCHIVE"), [load(10 * GIB, life=Lifetimes(30, 30, 30, (30,)))]
    )
    own, plain = 10 + 32768 / GIB, 8192 / GIB
    assert math.isclose(bill.storage, 30 * (own * 0.00099 + plain * 0.023))
    assert math.isclose(bill.early_deletion, 30 * 150 / 30.4375 * own * 0.00099)
    # 10,240 MiB: a thousand pieces of 8 MiB, the rest of 2,240 MiB in 140 pieces of 16 MiB; and the beginning
    assert math.isclose(bill.requests, 30 * (1141 * 0.005 + 0.05) / 1000)
    assert math.isclose(bill.restore, 10 * (0.02 + 0.09) + (0.1 + 0.0004) / 1000)


def test_a_provider_with_a_least_bill_bills_it() -> None:
    wasabi = SHIPPED.provider("wasabi")
    forever = Lifetimes(4, 0, 0)
    little = cost.judge(wasabi, [load(GIB, life=forever)]).cheapest
    assert math.isclose(little.storage, 7.99, rel_tol=1e-4)
    assert "at least 1,024 GB are billed" in little.note
    much = cost.judge(wasabi, [load(1024 * GIB, life=forever)]).cheapest
    assert math.isclose(much.storage, 4 * 7.99, rel_tol=1e-4)
    assert "at least" not in much.note


def test_what_copy_reads_back_is_billed_each_time_unless_it_lies_in_an_archive() -> None:
    verdict = cost.judge(HERE, [SOME], PART, copied=True)
    warm, cold, frozen = verdict.estimates
    assert math.isclose(warm.read_back, 5 * (3.001 * 0.1 + 2 * 0.4 / 1000))
    assert math.isclose(cold.read_back, 5 * (3.001 * (0.03 + 0.1) + 2 * (2 + 10) / 1000))
    assert frozen.read_back == 0
    assert math.isclose(warm.total, warm.storage + warm.requests + warm.read_back)
    assert all(one.read_back == 0 for one in cost.judge(HERE, [SOME], PART).estimates)


def test_sources_in_one_store_are_added_up() -> None:
    chosen = HERE.storage_class("COLD")
    one = cost.estimate(HERE, chosen, [SOME])
    two = cost.estimate(HERE, chosen, [SOME, SOME])
    assert math.isclose(two.total, 2 * one.total) and math.isclose(two.restore, 2 * one.restore)


# -- what to do -------------------------------------------------------------------------------------


def test_what_does_not_pay_is_said_with_its_reason() -> None:
    amazon = SHIPPED.provider("aws/us-east-1")
    monthly = Lifetimes(31, 30, 30, (31,))
    verdict = cost.judge(amazon, [load(50 * GIB, life=monthly)])
    assert verdict.cheapest.storage_class == "DEEP_ARCHIVE"
    assert verdict.against == ()
    brief = cost.judge(amazon, [load(50 * GIB, life=Lifetimes(3, 30, 30, (3,)))])
    assert brief.cheapest.storage_class == "STANDARD"
    assert dict(brief.against).keys() == {"STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"}
    assert "deleted after 3 days on average and billed for 180" in dict(brief.against)["DEEP_ARCHIVE"]
    crumbs = cost.judge(amazon, [load(*[1000.0] * 50, life=Lifetimes(400, 1, 1, (400,)))])
    assert crumbs.cheapest.storage_class == "STANDARD"
    assert "each is billed as more than it is" in dict(crumbs.against)["GLACIER_IR"]
    uploads = cost.judge(amazon, [load(*[2e5] * 50, life=Lifetimes(30, 30, 30, (200,)))])
    assert "requests cost more" in dict(uploads.against)["DEEP_ARCHIVE"]


def test_the_advice_is_to_move_only_for_more_than_a_cent() -> None:
    amazon = SHIPPED.provider("aws/us-east-1")
    verdict = cost.judge(amazon, [load(50 * GIB, life=Lifetimes(31, 30, 30, (31,)))])
    move = cost.advise(verdict, "STANDARD", "USD")
    assert (
        move.startswith("Move to DEEP_ARCHIVE, ") and " in STANDARD; a restore then waits 12 hours and costs " in move
    )
    assert "cheapest that is read at once: " in move
    assert cost.advise(verdict, "DEEP_ARCHIVE", "USD").startswith("Stay with DEEP_ARCHIVE, ")
    assert cost.advise(verdict, None, "USD").startswith("Take DEEP_ARCHIVE, ")
    copied = cost.judge(amazon, [load(50 * GIB, life=Lifetimes(31, 30, 30, (31,)))], copied=True)
    assert "; copies are then not read back, and a restore waits 12 hours" in cost.advise(copied, "STANDARD", "USD")
    small = cost.judge(amazon, [load(1e6, life=Lifetimes(31, 30, 30, (31,)))])
    assert cost.advise(small, "GLACIER_IR", "USD").startswith("Stay with GLACIER_IR, ")
    assert "less than a cent" in cost.advise(small, "GLACIER_IR", "USD")
    assert cost.advise(small, None, "USD").startswith("Take STANDARD, ")


# -- properties -------------------------------------------------------------------------------------

LIVES = st.builds(
    Lifetimes,
    st.floats(0, 1e3),
    st.floats(0, 1e3),
    st.floats(0, 1e3),
    st.lists(st.floats(0, 4000), max_size=5).map(tuple),
)
LOADS = st.builds(
    Load,
    st.just("db"),
    st.lists(st.floats(1, 1e13), min_size=1, max_size=4).map(tuple),
    st.lists(st.floats(1, 1e6), max_size=3).map(tuple),
    LIVES,
)
PROVIDERS = st.sampled_from([HERE, *SHIPPED.providers.values()])


@given(PROVIDERS, st.lists(LOADS, min_size=1, max_size=3))
def test_no_charge_is_below_zero_and_the_cheapest_is_the_smallest_total(provider, loads) -> None:
    verdict = cost.judge(provider, loads, copied=True)
    for one in verdict.estimates:
        charges = (one.storage, one.early_deletion, one.requests, one.read_back, *(way.cost for way in one.restores))
        assert all(math.isfinite(charge) and charge >= 0 for charge in charges)
    assert verdict.cheapest.total == min(one.total for one in verdict.estimates)
    assert {name for name, _ in verdict.against} == {
        one.storage_class for one in verdict.estimates if one.rate < verdict.cheapest.rate
    }


@given(PROVIDERS, LOADS, st.floats(1.01, 100))
def test_the_cost_grows_with_the_size(provider, some, factor) -> None:
    larger = replace(some, parts=tuple(size * factor for size in some.parts))
    for chosen in provider.classes:
        less, more = cost.estimate(provider, chosen, [some]), cost.estimate(provider, chosen, [larger])
        assert more.total >= less.total * (1 - 1e-9) and more.restore >= less.restore * (1 - 1e-9)


@given(PROVIDERS, LOADS)
def test_what_is_kept_for_the_minimum_is_not_charged_for_early_deletion(provider, some) -> None:
    for chosen in provider.classes:
        least = max(chosen.minimum_days, provider.storage_class(provider.plain).minimum_days)
        old = replace(some, life=replace(some.life, ages=tuple(least + age for age in some.life.ages)))
        assert cost.estimate(provider, chosen, [old]).early_deletion == 0


# -- lifetimes --------------------------------------------------------------------------------------


def test_nightly_backups_kept_for_thirty_days_are_thirty_and_some_hours() -> None:
    life = lived(NIGHTLY, Policy(timedelta(days=30)))
    # made at two, they are deleted by the prune at midnight: 30 days and 22 hours old
    assert set(life.ages) == {30 + 22 / 24}
    assert math.isclose(life.held, 30 + 22 / 24)
    assert math.isclose(life.made, 30.4375) and math.isclose(life.deleted, 30.4375)


def test_what_months_and_years_hold_is_in_the_steady_state() -> None:
    life = lived(NIGHTLY, Policy(keep_daily=7, keep_monthly=12, keep_yearly=3))
    # 7 days, 12 months of which the present one's newest is among the days, and 3 years, of which two are older
    assert 7 + 11 + 1 < life.held < 7 + 12 + 2.5
    assert math.isclose(life.made, life.deleted, rel_tol=0.02)
    assert max(life.ages) > 2 * 365  # the oldest year goes once in the year that is looked at
    assert sorted(life.ages)[len(life.ages) // 2] == 7 + 22 / 24  # most go after the week


def test_what_is_made_and_held_agrees_with_the_ages() -> None:
    for schedule, policy in (
        (NIGHTLY, Policy(timedelta(days=30), keep_weekly=8)),
        ("0 2 * * sun", Policy(keep_last=6)),
        ("0 */6 * * *", Policy(keep_hourly=10, keep_daily=7)),
    ):
        life = lived(schedule, policy)
        mean = sum(life.ages) / len(life.ages) / 30.4375
        assert math.isclose(life.held, life.deleted * mean, rel_tol=0.03), schedule


POLICIES = st.builds(
    Policy,
    st.sampled_from([None, timedelta(days=3), timedelta(days=10), timedelta(hours=30)]),
    st.integers(0, 5),
    st.integers(0, 10),
    st.integers(1, 5),
    st.integers(0, 3),
)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@example(Policy(timedelta(hours=30), keep_last=5), "0 */6 * * *")
@given(POLICIES, st.sampled_from([NIGHTLY, "0 */6 * * *", "30 5 * * mon,thu"]))
def test_the_short_way_through_time_ends_where_a_prune_a_day_does(policy, schedule) -> None:
    cron = parse_cron(schedule)
    gap = longest_gap(cron)
    made = moments(schedule, cost.timeline(policy, gap))
    ages, held = [], []
    for number in range(1, cost.timeline(policy, gap).days + 1):
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
        come = [at for at in made if now - timedelta(days=1) <= at < now]
        held += [Candidate(f"{at}", int(at.timestamp()), at, "proven", False, 1, 1) for at in come]
        kept = {verdict.id for verdict in decide(held, policy, now) if verdict.keep}
        ages += [(now - one.began) / timedelta(days=1) for one in held if one.id not in kept]
        held = [one for one in held if one.id in kept]
    life = cost.simulate(made, policy, gap)
    assert life.ages and any(list(life.ages) == ages[at : at + len(life.ages)] for at in range(len(ages)))


def test_without_a_schedule_the_moments_lie_evenly() -> None:
    policy, gap = Policy(keep_last=3), timedelta(days=2)
    life = cost.simulate(cost.evenly(gap, policy, datetime(2026, 1, 1, 12, tzinfo=UTC)), policy, gap)
    assert set(life.ages) == {6.5 - 0.0}  # the fourth comes at noon of the sixth day, and prune at midnight
    assert math.isclose(life.held, 3.25)


def test_what_is_never_deleted_has_no_ages() -> None:
    life = lived("0 2 1 * *", Policy(keep_yearly=100))
    assert life.held >= 1
    assert cost.simulate([], Policy(keep_last=1), timedelta(days=1)) == Lifetimes(0, 0, 0)


# -- prices -----------------------------------------------------------------------------------------


def test_the_shipped_prices_have_every_figure_and_say_where_from() -> None:
    assert {"aws/us-east-1", "backblaze/b2", "cloudflare/r2", "wasabi"} <= SHIPPED.providers.keys()
    for provider in SHIPPED.providers.values():
        assert provider.source and provider.date <= SHIPPED.date and provider.gb in (10**9, GIB)
        for one in provider.classes:
            assert 0 < one.stored < 0.1 and one.retrievals and all(way.wait for way in one.retrievals)
    amazon = SHIPPED.provider("aws/us-east-1")
    assert [one.name for one in amazon.classes] == [
        "STANDARD",
        "STANDARD_IA",
        "ONEZONE_IA",
        "GLACIER_IR",
        "GLACIER",
        "DEEP_ARCHIVE",
    ]
    assert [one.minimum_days for one in amazon.classes] == [0, 30, 30, 90, 90, 180]


@pytest.mark.parametrize(
    ("old", "new", "said", "hint"),
    [
        ("stored = 0.02\n", "stored = -1\n", "classes.WARM.stored is -1", "0 or more"),
        ("stored = 0.02\n", "storde = 0.02\n", "classes.WARM.storde is not known", "did you mean stored?"),
        ("stored = 0.02\n", "", "classes.WARM.stored is missing", "stored = "),
        ("stored = 0.02\n", 'stored = "0.02"\n', "classes.WARM.stored must be a number", "without quotes"),
        ("stored = 0.02\n", "stored = nan\n", "classes.WARM.stored must be a number", "without quotes"),
        ("stored = 0.02\n", "stored = true\n", "classes.WARM.stored must be a number", "without quotes"),
        ("date = 2026-11-01\n", "", "date is missing", "date = "),
        ("date = 2026-11-01\n", 'date = "soon"\n', "date must be a date", "without quotes"),
        ("gb = 1000000000\n", "gb = 0\n", "gb is 0", "1073741824"),
        ('currency = "EUR"\n', "", "currency is missing", "currency = "),
        ('currency = "EUR"\n', "currency = EUR\n", "is not valid TOML", "toml.io"),
        ("parts_at_plain = true\n", "parts_at_plain = 1\n", "parts_at_plain must be true or false", "quotes"),
        ("per_gb = 0.02,", "per_tb = 0.02,", "retrieval.Standard.per_tb is not known", "did you mean per_gb?"),
        ('plain = "WARM"\n', 'plain = "WARM"\nclasess = 1\n', "clasess is not known", "did you mean classes?"),
    ],
)
def test_a_file_of_prices_that_cannot_be_is_refused_by_its_line(old: str, new: str, said: str, hint: str) -> None:
    assert old in TABLE
    with pytest.raises(ConfigError) as refused:
        cost.load(TABLE.replace(old, new, 1), "mine.toml")
    assert refused.value.message.startswith("mine.toml") and said in refused.value.message
    assert hint in refused.value.hint


def test_a_table_without_providers_classes_or_retrieval_is_refused() -> None:
    head = 'date = 2026-11-01\ncurrency = "EUR"\n'
    provider = head + '[providers.x]\ngb = 1000000000\nplain = "WARM"\n'
    for text, said in (
        (head, "there is no provider"),
        (head + "providers = 3\n", "providers must be a table"),
        (provider, "providers.x.classes is missing"),
        (provider + "[providers.x.classes.WARM]\nstored = 1\n", "providers.x.classes.WARM.retrieval is missing"),
    ):
        with pytest.raises(ConfigError, match=said):
            cost.load(text, "mine.toml")


def test_the_users_prices_replace_classes_and_leave_the_others() -> None:
    renamed = TABLE.replace("here/1", "aws/us-east-1").replace("classes.COLD", "classes.GLACIER")
    merged = cost.merge(SHIPPED, cost.load(renamed, "mine.toml"))
    mine, shipped = merged.provider("aws/us-east-1"), SHIPPED.provider("aws/us-east-1")
    assert mine.currency == "EUR" and mine.plain == "WARM" and mine.date == date(2026, 11, 1)
    assert [one.name for one in mine.classes] == [one.name for one in shipped.classes] + ["WARM", "FROZEN"]
    assert mine.storage_class("GLACIER").stored == 0.004
    assert mine.storage_class("STANDARD") == shipped.storage_class("STANDARD")
    assert merged.provider("wasabi") == SHIPPED.provider("wasabi")
    with pytest.raises(ConfigError, match="plain names 'HOT'"):
        cost.merge(SHIPPED, cost.load(TABLE.replace('plain = "WARM"', 'plain = "HOT"'), "mine.toml"))


def test_a_provider_or_class_that_is_not_known_is_said_with_the_nearest() -> None:
    with pytest.raises(UsageError) as refused:
        SHIPPED.provider("aws/us-east")
    assert refused.value.hint.startswith("did you mean aws/us-east-1?")
    with pytest.raises(UsageError, match="no storage class 'HOT'"):
        HERE.storage_class("HOT")


# -- the command ------------------------------------------------------------------------------------


CHARGES = ("storage", "early_deletion", "requests", "read_back")


@pytest.mark.slow
def test_the_command_reckons_with_a_real_backup(program: Program, servers: Servers) -> None:
    address = servers.database(15)
    run(address, "CREATE TABLE orders (id int)", "INSERT INTO orders SELECT generate_series(1, 200)")
    program.configure('[retention]\nkeep_within = "30d"\n', db=address)
    assert program.ok("cost").out.startswith("local: a disk of your own: no bill.")
    assert program.ok("cost", "--json").json == []
    program.store.mkdir(mode=0o700)
    assert "there are no backups yet" in program.run("cost", "--provider", "aws/us-east-1").out
    made = program.ok("backup", "--json").json
    (bill,) = program.ok("cost", "--provider", "aws/us-east-1", "--json").json
    (source,) = bill["sources"]
    manifest = (program.store / made["id"] / "manifest.json").stat().st_size
    assert source["source"] == "db" and source["size"] == manifest + sum(part["size"] for part in made["parts"])
    assert math.isclose(source["held"], 30 + 22 / 24)
    totals = {one["class"]: one["total"] for one in bill["classes"]}
    assert bill["cheapest"] == min(totals, key=lambda name: totals[name])
    for one in bill["classes"]:
        assert math.isclose(one["total"], sum(one[name] for name in CHARGES))
        assert math.isclose(one["stored_gb_month"], source["held"] * source["size"] / GIB, rel_tol=1e-4)
    said = program.ok("cost", "--provider", "aws/us-east-1").out
    assert "local at aws/us-east-1, prices of 2026-06-18 in USD" in said
    assert "DEEP_ARCHIVE does not pay: " in said
    assert said.rstrip().endswith(bill["advice"]) and bill["advice"].startswith("Take STANDARD, ")
    assert program.ok("cost", "--provider", "wasabi", "--quiet").out == ""


def test_the_users_prices_come_from_the_option_or_the_configuration(program: Program, servers: Servers) -> None:
    address = servers.database(15)
    program.configure('[cost]\nprices = "mine.toml"\n[schedule]\nbackup = "none"\n', db=address)
    program.ok("backup", "--quiet")
    assert "cannot read" in program.run("cost").err
    (program.folder / "mine.toml").write_text(TABLE)
    (program.folder / "other.toml").write_text(TABLE.replace('"EUR"', '"CHF"'))
    said = program.ok("cost", "--provider", "here/1").out
    assert "prices of 2026-11-01 in EUR" in said and "one a month supposed" in said
    assert " in CHF" in program.ok("cost", "--provider", "here/1", "--prices", "other.toml").out
    (program.folder / "mine.toml").write_text(TABLE.replace("stored", "storde"))
    ran = program.run("cost", "--provider", "here/1")
    assert ran.code == 2
    assert ran.err.startswith("pgproof: mine.toml: providers.here/1.classes.WARM.storde is not known")


@pytest.mark.slow
def test_a_bucket_is_billed_by_its_class_its_provider_and_its_own_retention(program: Program, servers: Servers) -> None:
    address = servers.database(15)
    more = """
[retention]
keep_within = "30d"
[stores.offsite]
url = "s3://bucket/backups"
region = "us-east-1"
storage_class = "GLACIER_IR"
retention = { keep_within = "100d" }
[stores.elsewhere]
url = "s3://bucket/backups"
endpoint = "https://s3.example.com"
provider = "here/1"
[stores.second]
url = "s3://other"
endpoint = "https://s3.example.com"
"""
    program.configure(more, db=address)
    (program.folder / "mine.toml").write_text(TABLE)
    program.run("backup", "--quiet")  # the buckets are not there, and the first store is enough
    bill, other = program.ok("cost", "--json", "--prices", "mine.toml").json
    assert (bill["store"], bill["provider"], bill["storage_class"]) == ("offsite", "aws/us-east-1", "GLACIER_IR")
    assert math.isclose(bill["sources"][0]["held"], 100 + 22 / 24)
    assert math.isclose(other["sources"][0]["held"], 30 + 22 / 24)
    early = {one["class"]: one["early_deletion"] for one in bill["classes"]}
    assert early["GLACIER_IR"] == 0 < early["DEEP_ARCHIVE"]
    assert all(one["read_back"] > 0 for one in bill["classes"] if one["wait"] == "at once")
    said = program.ok("cost").out
    assert "GLACIER_IR (now)" in said and "Stay with GLACIER_IR, " in said
    assert "elsewhere: no prices are known for 'here/1'; there are: aws/us-east-1" in said
    assert "second: its provider is not known: write `provider` in its table" in said
