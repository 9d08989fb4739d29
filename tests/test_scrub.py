"""Of a secret and of a row nothing is left in what leaves the machine; of the rest what can be told."""

import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproof.alerting import scrub
from pgproof.secret import Secret

CANARY = "CaNaRy5f2e81"
ROWS = (
    'duplicate key value violates unique constraint "users_email_key"\nDETAIL:  Key (email)=({})) already exists.',
    "Key (a, b)=(1, {}) is not present in table",
    "new row violates check constraint\nDETAIL:  Failing row contains (1, {}, null).",
    "Failing row contains (1, {}, null).",
    'invalid input syntax for type integer: "{}"',
    'invalid input syntax for type integer: "x"\nCONTEXT:  COPY users, line 3, column id: "{}"',
    "COPY users, line 3: {}\tb",
    'value "{}" is out of range for type integer',
    "Schlüssel »(email)=({})« existiert bereits.",
    "FEHLER: x\nDETAIL:  Fehlgeschlagene Zeile enthält ({}).",
    "ERREUR: x\nDÉTAIL : La ligne contient ({})",
    "x\nSTATEMENT:  INSERT INTO users VALUES ('{}')",
)
PLACES = (
    "postgresql://user:{}@host/db",
    "postgresql://user:a/b@{}@host/db",
    "host=h password={} dbname=d",
    "host=h password = 'a b\\'{}' dbname=d",
    "PGPASSWORD={} pg_dump",
    "PGPASSWORD='x {}' pg_dump",
    '{{"password": "{}"}}',
    "{{'secret_key': '{}'}}",
    "passphrase: {}",
    "https://bucket/x?X-Amz-Signature={}&a=b",
    "https://bucket/x?X-Amz-Security-Token={}",
    "aws_secret_access_key={}",
    "Authorization: Basic {}",
    "Authorization: Bearer {}",
    "AGE-SECRET-KEY-1{}",
    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
)


@pytest.mark.parametrize("words", [*ROWS, *PLACES])
def test_h7_no_secret_in_its_usual_place_and_no_row_survives(words: str) -> None:
    assert CANARY not in scrub(words.format(CANARY))
    assert CANARY not in scrub("it failed: " + words.format(CANARY))


@pytest.mark.slow
@given(st.sampled_from(ROWS), st.text(max_size=40), st.text(max_size=40))
def test_h7_no_row_survives_whatever_else_it_holds(words: str, before: str, after: str) -> None:
    row = before + CANARY + after
    assert CANARY not in scrub(words.replace("{}", row))


@given(st.text(min_size=4), st.text(), st.text(), st.sampled_from(["plain", "quote", "plus", "repr", "url"]))
def test_h7_a_known_secret_never_survives(secret: str, before: str, after: str, form: str) -> None:
    secret = f"{CANARY}{secret}"
    data = secret.encode("utf-8", "surrogateescape") if all(not 0xD800 <= ord(c) < 0xE000 for c in secret) else b""
    shown = {
        "plain": secret,
        "quote": quote(data) if data else "",
        "plus": quote_plus(data) if data else "",
        "repr": repr(secret),
        "url": f"smtp://u:{quote(data, safe='')}@h" if data else "",
    }[form]
    assert CANARY not in scrub(before + shown + after, [Secret(secret)])


@pytest.mark.parametrize(
    ("url", "part"),
    [
        (f"postgresql://user:{CANARY}@host/db", CANARY),
        (f"slack://T1JJ3T3L2/A1BRTD4JD/{CANARY}/", CANARY),
        (f"https://hc-ping.com/{CANARY}", CANARY),
        (f"json://host/?+Authorization={CANARY}%20x", f"{CANARY} x"),
        (f"tgram://{CANARY}aaaa/12315544/", f"{CANARY}aaaa"),
        (f"discord://{CANARY}0123/xyzabc/", f"{CANARY}0123"),
    ],
)
def test_of_a_url_that_is_secret_each_part_is(url: str, part: str) -> None:
    assert part not in scrub(f"it could not be sent to {part}: refused", [Secret(url)])


def test_short_secrets_go_too_and_leave_other_words_whole() -> None:
    assert scrub("the password is abc, and cabcab is not", [Secret("abc")]) == "the password is ..., and cabcab is not"


def test_what_surrounds_a_secret_that_was_taken_out_is_looked_at_again() -> None:
    assert "....." not in scrub("a..CaNaRy..", [Secret("....."), Secret("CaNaRy")])


@pytest.mark.parametrize(
    "text",
    [
        "shop: the newest good backup is 31 hours old, more than 30 hours",
        "sources.db.password: the environment variable PW is not set",
        "the server refuses the password (db.example.org:5432/shop)",
        "shop/20261123T020000Z-logical is damaged: SHA-256 da39a3ee5e6b4b0d3255bfef95601890afd80709 differs",
        "/var/lib/pgproof/backups/shop/2026/11/x23 cannot be written: no space is left",
        "see `pgproof show keycloak/20261123T020000Z-logical`",
        "postgresql://pgproof@db.example.org:5432/shop does not answer",
    ],
)
def test_what_pgproof_itself_says_is_left_as_it_is(text: str) -> None:
    assert scrub(text, [Secret("something else")]) == text


@given(st.text())
def test_to_scrub_twice_is_to_scrub_once_and_the_result_is_plain_text(text: str) -> None:
    once = scrub(text)
    assert scrub(once) == once
    once.encode()
    assert not any(ord(one) < 32 and one not in "\n\t" for one in once)


@pytest.mark.parametrize(
    "piece", ["a", "ü", "password", "://a:", "basic ", "'password':", "COPY a", "A1b/", " = ", "\n"]
)
def test_no_text_takes_long(piece: str) -> None:
    began = time.monotonic()
    scrub(piece * (1_000_000 // len(piece)), [Secret(CANARY)])
    assert time.monotonic() - began < 10
