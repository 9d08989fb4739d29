"""Names and bytes that break what is not quoted: each comes back as it was, and nothing of it is executed."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg import conninfo

from pgproof.postgres.server import Address, connect
from pgproof.postgres.sql import name as quoted
from tests import kit
from tests.bad_input.conftest import MAJOR, fill, refused
from tests.conftest import Program, Servers
from tests.sweeps import WHOLE, spread

NAMES = [
    'it\'s "quoted"',
    "with spaces  inside ",
    "a=b dbname=postgres",
    "new\nline\ttab",
    "-leading --dash",
    "--replace",
    "sl/ash/../es\\back",
    "postgres://x/y?z#",
    "postgresql://nobody@127.0.0.1:1/db",
    "host=/nonexistent",
    "$(touch x)`touch y`;touch z|&",
    "%s %(a)s %%",
    "Ünïcödé 🐘",
    "n" * 63,
    "ö" * 31,
]


@pytest.mark.slow
@pytest.mark.sweep(6, full=len(NAMES))
@pytest.mark.parametrize("called", NAMES if WHOLE else spread(NAMES, 6))
def test_names_of_databases(servers: Servers, program: Program, databases: Callable[..., Address], called: str) -> None:
    databases(called)
    source = servers.database(MAJOR, called)
    fill(source)
    program.configure(db=source)
    assert program.ok("backup", "--json").json["database"]["name"] == called
    assert program.ok("doctor").code == 0
    proof = program.ok("prove", "--json").json
    assert proof["proven"], proof["findings"]
    back = databases((called[1:] if len(called.encode()) > 60 else called) + "2")
    target = ["--to", conninfo.make_conninfo(back.conninfo), "--password", f"file:{program.folder}/db.password"]
    plain = "://" not in called and "=" not in called
    program.ok("restore", "latest", *([f"--to={back.database}"] if plain else target))
    assert kit.digests(back) == kit.digests(source)
    again = program.ok("restore", "latest", f"--to={back.database}", "--replace", "--json") if plain else None
    if again:
        databases(again.json["aside"], fresh=False)
        assert kit.digests(databases_at(servers, again.json["aside"])) == kit.digests(source)
    made = program.ok("restore", "latest", "--json").json["database"]
    assert kit.digests(databases_at(servers, made)) == kit.digests(source)
    databases(made, fresh=False)
    assert sorted(path.name for path in program.folder.iterdir()) == [
        "backups",
        "db.password",
        "pgproof.toml",
        "state",
    ]
    for word in "xyz":
        assert not Path(word).exists()


def databases_at(servers: Servers, called: str) -> Address:
    return servers(MAJOR).address.to(called)


def test_a_name_that_looks_like_a_url_goes_nowhere_else(program: Program, servers: Servers) -> None:
    """`--to` with :// is a URL: when it is wrong, it is refused, never taken for another place."""
    source = servers.database(MAJOR)
    fill(source)
    program.configure(db=source)
    program.ok("backup")
    refused(program.run("restore", "latest", "--to", "postgres://[x/db"), 2, "connection string")
    refused(program.run("restore", "latest", "--to", "mysql://127.0.0.1/db"), 2)
    refused(program.run("restore", "latest", "--to", "nonsense=1"), 2)
    refused(program.run("restore", "latest", "--to", ""), 2)
    long = refused(program.run("restore", "latest", "--to", "n" * 64), 2, "63")
    assert "n" * 64 in long.err
    refused(program.run("restore", "latest", "--to", "bytes\udcff"), 2, "UTF-8")
    refused(program.run("restore", "latest", "--table", "bytes\udcff", "--to", "bad_never"), 2)


ODD = {
    "LATIN1": ("latin-1", b"caf\xe9 \xa0\xff\x80\x9f", "tabl\xe9 \xdf".encode("latin-1")),
    "EUC_JP": ("euc_jp", "日本語のテキスト ｶﾅ".encode("euc_jp"), "表の名前".encode("euc_jp")),
    "SQL_ASCII": ("", bytes(range(0x80, 0x100)) + b"\xff\xfe\xc3(\xed\xa0\x80", b"caf\xe9 \xff\xc3("),
    "UTF8": ("utf-8", "e\u0301 \u200f\u202e 🐘 \ufeff".encode(), "naïve 🐘".encode()),
}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ODD)
def test_encodings(servers: Servers, program: Program, databases: Callable[[str], Address], encoding: str) -> None:
    _, data, table = ODD[encoding]
    source = servers.database(MAJOR, options=f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    with connect(source) as session:
        session.run_bytes(
            b'CREATE TABLE public."' + table + b'" ("' + table + b'" int PRIMARY KEY, text text, array_ text[]);'
            b'COMMENT ON TABLE public."' + table + b"\" IS E'" + table + b"';"
            b"CREATE TYPE public.word AS ENUM ('" + table + b"'); CREATE TABLE public.words (word public.word);"
            b"INSERT INTO public.words VALUES ('" + table + b"');"
            b'CREATE SEQUENCE public."s ' + table + b'" START 42;'
            b"SELECT nextval('public.\"s " + table + b"\"')"
        )
        literal = f"'\\x{data.hex()}'::bytea"
        name = quoted(table.decode(session.codec))
        text = f"convert_from({literal}, '{encoding}')"
        session.run(
            f"INSERT INTO public.{name} SELECT n, {text} || n || E'\\t\\n\\\\', ARRAY[{text}, NULL, ''] "
            "FROM generate_series(1, 300) n"
        )
    program.configure(db=source)
    program.ok("backup")
    program.ok("verify")
    proof = program.ok("prove", "--json").json
    assert proof["proven"], proof["findings"]
    back = databases(f"{source.database}_back")
    program.ok("restore", "latest", "--to", back.database)
    assert contents(back) == contents(source)
    assert kit.digests(back) == kit.digests(source)
    with contextlib.suppress(UnicodeDecodeError):  # an argument is text; SQL_ASCII's bytes may be none
        one = databases(f"{source.database}_one")
        label = table.decode("utf-8" if encoding == "SQL_ASCII" else ODD[encoding][0])
        program.ok("restore", "latest", "--to", one.database, "--table", label)
        assert contents(one, 2) == contents(source, 2)


def contents(database: Address, first: int | None = None) -> list[object]:
    """The bytes of names and rows, by the server's own reckoning: md5 of text is of its stored bytes."""
    with connect(database) as session:
        (table,) = session.row(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
            "AND relname <> 'words'"
        )
        rows = f"public.{quoted(table)}"
        questions = [
            f"SELECT md5(string_agg(convert_to(text, getdatabaseencoding()), ''::bytea ORDER BY text)) FROM {rows}",
            f"SELECT md5(string_agg(array_::text, '|' ORDER BY text)) FROM {rows}",
            """SELECT md5(string_agg(convert_to(relname::text, getdatabaseencoding()), ''::bytea ORDER BY relname))
            FROM pg_class WHERE relnamespace = 'public'::regnamespace""",
            f"SELECT md5(obj_description('{rows.replace(chr(39), chr(39) * 2)}'::regclass))",
            "SELECT md5(string_agg(word::text, '')) FROM public.words",
            "SELECT getdatabaseencoding()",
        ]
        return [session.value(question) for question in questions[:first]]
