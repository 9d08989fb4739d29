"""The commands of docs/without-pgproof.md, as they stand there, run by bash: nothing of ours restores here."""

import gzip
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pgproof.postgres.server import Address, connect
from pgproof.postgres.sql import literal
from tests.conftest import Program, Servers, missing
from tests.kit import rows, run

PAGE = Path(__file__).parent.parent / "docs" / "without-pgproof.md"
ROLE = "stock's owner"
FILL = (
    'CREATE TABLE "Odd ""Name" (id bigint PRIMARY KEY, "te xt" text, made timestamptz, raw bytea)',
    """INSERT INTO "Odd ""Name" SELECT n,
        CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN E'tab\\tnew\\nline\\\\.' ELSE 'ä' || n END,
        timestamptz '2026-01-01 00:00Z' + n * interval '1 hour', decode(md5(n::text), 'hex')
        FROM generate_series(1, 3000) AS n""",
    # A row that looks like the head of another table's rows.
    "CREATE TABLE plain (id serial PRIMARY KEY, said text UNIQUE)",
    """INSERT INTO plain (said) VALUES ('one'), ('COPY "public"."Odd ""Name" ("id") FROM stdin;'), ('\\.'), (NULL)""",
    'ALTER TABLE plain ADD "of" bigint REFERENCES "Odd ""Name"',
    f'ALTER TABLE plain OWNER TO "{ROLE}"',
    "CREATE TABLE empty (id int)",
    "SELECT lo_from_bytea(4711, 'large')",
)
ASKED = (
    'SELECT * FROM public."Odd ""Name" ORDER BY id',
    "SELECT * FROM public.plain ORDER BY id",
    "SELECT * FROM public.empty",
    "SELECT lo_get(4711)",
    "SELECT last_value, is_called FROM public.plain_id_seq",
    "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'plain'",
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype IN ('p', 'u', 'f') ORDER BY 1",
    "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname = current_database()",
)


def commands() -> dict[str, str]:
    """The page's commands by the comment in their first line."""
    blocks = re.findall(r"^```sh\n# (.*?)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return dict(blocks)


@dataclass
class Stock:
    """A shell with the page's variables, and a server to restore into."""

    servers: Servers
    major: int
    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> Address:
        return self.servers(self.major).address.to(self.variables["DATABASE"])

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        server = self.servers(self.major)
        assert server.address.password
        if not (server.tools.folder / "psql").exists():
            missing(f"psql {self.major}")
        env = {
            "PATH": f"{server.tools.folder}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "PGHOST": str(server.folder),
            "PGUSER": "postgres",
            "PGPASSWORD": server.address.password.reveal(),
        }
        argv = ["bash", "-o", "pipefail", "-c", script]
        return subprocess.run(
            argv, env=env | self.variables, capture_output=True, text=True, timeout=120, check=False, cwd="/"
        )

    def ok(self, command: str) -> str:
        done = self.run(commands()[command])
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def filled(servers: Servers) -> Callable[[int], Address]:
    made: dict[int, Address] = {}

    def fill(major: int) -> Address:
        if major not in made:
            with connect(servers(major).address) as session:
                if not session.rows(
                    "SELECT FROM pg_roles WHERE rolname = %s", [ROLE]
                ):  # unless another test brought it
                    session.run(f'CREATE ROLE "{ROLE}" LOGIN')
            options = "ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
            made[major] = servers.database(major, options=options)
            run(made[major], *FILL)
        return made[major]

    return fill


def back_up(program: Program, address: Address, encryption: str = "", compress: str = "gzip") -> Path:
    program.configure(encryption, db=address)
    config = program.folder / "pgproof.toml"
    config.write_text(config.read_text().replace("[sources.db]\n", f'[sources.db]\ncompress = "{compress}"\n', 1))
    return program.store / str(program.ok("backup", "--json").json["id"])


def stock(servers: Servers, major: int, backup: Path, ending: str) -> Stock:
    name = f"{backup.parent.name}.sql{ending}"
    servers.count += 1
    variables = {
        "BACKUP": str(backup),
        "FILE": name,
        "GLOBALS": f"globals.sql{ending}",
        "DATABASE": f'stock "{os.getpid()}"\'s {servers.count}',
    }
    home = backup.parent.parent.parent / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    return Stock(servers, major, home, variables)


def answers(address: Address) -> list[list[tuple[object, ...]]]:
    return [rows(address, question) for question in ASKED]


def encrypted(method: str, program: Program) -> tuple[str, dict[str, str]]:
    """The configuration's lines for a method, and the variables with which the page opens it."""
    if method == "gpg":
        secret = program.folder / "passphrase"
        secret.touch(0o600)
        secret.write_text("correct horse battery staple\n")
        return f'[encryption]\nmethod = "gpg"\npassphrase = "file:{secret}"\n', {"PASSPHRASE": str(secret)}
    if method == "age":
        identity = program.folder / "identity"
        subprocess.run(["age-keygen", "-o", str(identity)], check=True, capture_output=True)
        public = re.search(r"age1\w+", identity.read_text())
        assert public
        return f'[encryption]\nmethod = "age"\nrecipients = ["{public[0]}"]\n', {"IDENTITY": str(identity)}
    return "", {}


def need(*programs: str) -> None:
    for name in programs:
        if not shutil.which(name):
            missing(f"the program {name}")


def test_the_page_has_the_commands_that_are_run_here() -> None:
    text = PAGE.read_text()
    assert len(commands()) == text.count("```sh\n") == 13
    assert not re.search(r"pgproof (backup|restore|verify|prove|show|list)", text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("major", "how", "compress", "ending"),
    [
        (15, "gzip", "gzip", ".gz"),
        (16, "gzip", "gzip", ".gz"),
        (17, "gzip", "gzip", ".gz"),
        (18, "gzip", "gzip", ".gz"),
        (15, "zstd", "zstd", ".zst"),
        (15, "gpg", "gzip", ".gz.gpg"),
        (15, "age", "gzip", ".gz.age"),
    ],
)
def test_stock_programs_check_and_restore(
    servers: Servers,
    program: Program,
    filled: Callable[[int], Address],
    major: int,
    how: str,
    compress: str,
    ending: str,
) -> None:
    need(
        "jq",
        "sha256sum",
        *({"gzip": ("gunzip",), "zstd": ("zstd",), "gpg": ("gpg",), "age": ("age", "age-keygen")}[how]),
    )
    lines, variables = encrypted(how, program)
    original = filled(major)
    backup = back_up(program, original, lines, compress)
    shell = stock(servers, major, backup, ending)
    shell.variables |= variables
    assert shell.ok("jq") == shell.ok("python")
    assert shell.ok("jq").count(": OK\n") == 3
    assert shell.ok("manifest") == "manifest.json: OK\n"
    if how == "gzip":
        said = shell.run(commands()["roles, gzip"])
        assert said.returncode == 0
        assert 'role "postgres" already exists' in said.stderr
    assert shell.ok("create") == "CREATE DATABASE\n"
    assert shell.ok(how).endswith("COMMIT\n")
    shell.run("gpgconf --kill gpg-agent")  # gpg starts it, and it would outlive the test
    assert answers(shell.target) == answers(original)
    assert "public.plain 4\n" in shell.ok("counts")


def test_roles_come_back_with_stock_programs(
    servers: Servers, program: Program, filled: Callable[[int], Address]
) -> None:
    need("jq")
    backup = back_up(program, filled(16))
    shell = stock(servers, 16, backup, ".gz")
    shell.servers = servers
    shell.major = 17  # a server that has never seen the role
    with connect(servers(17).address) as session:
        has = session.rows("SELECT FROM pg_roles WHERE rolname = %s", [ROLE])
    if not has:
        assert shell.run(commands()["roles, gzip"]).returncode == 0
        own, given = servers(17).address, servers(16).address.password  # which the superuser has from then on
        with connect(replace(own, password=given)) as session:
            session.run(f"ALTER ROLE postgres PASSWORD {literal(own.password.reveal() if own.password else '')}")
    shell.ok("create")
    assert shell.ok("gzip").endswith("COMMIT\n")
    assert answers(shell.target)[5] == [(ROLE,)]


def test_a_damaged_file_does_not_pass_the_check(
    servers: Servers, program: Program, filled: Callable[[int], Address]
) -> None:
    need("jq")
    backup = back_up(program, filled(15))
    for name, command in (("schema.dump", "jq"), ("schema.dump", "python"), ("manifest.json", "manifest")):
        victim = backup / name
        whole = victim.read_bytes()
        victim.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
        done = stock(servers, 15, backup, ".gz").run(commands()[command])
        assert done.returncode != 0
        assert "manifest.json: OK" not in done.stdout
        victim.write_bytes(whole)


@pytest.mark.parametrize("table", ['Odd "Name', "plain"])
@pytest.mark.parametrize("major", [15, 17])
def test_one_table_only(
    servers: Servers, program: Program, filled: Callable[[int], Address], major: int, table: str
) -> None:
    need("jq", "awk")
    original = filled(major)
    shell = stock(servers, major, back_up(program, original), ".gz")
    quoted = table.replace('"', '""')
    shell.variables |= {"SCHEMA": "public", "TABLE": table, "COPY": f'"public"."{quoted}"'}
    shell.ok("create")
    shell.ok("table")
    shell.ok("rows")
    question = f'SELECT * FROM public."{quoted}" ORDER BY id'
    assert rows(shell.target, question) == rows(original, question)
    assert rows(shell.target, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [(table,)]


@pytest.mark.parametrize("where", ["schema", "statement", "rows", "row", "after rows", "keys", "commit", "bytes"])
def test_a_cut_file_restores_nothing(
    servers: Servers, program: Program, filled: Callable[[int], Address], where: str
) -> None:
    need("jq")
    backup = back_up(program, filled(15))
    stored = backup / "db.sql.gz"
    whole = gzip.decompress(stored.read_bytes())
    rows_end = whole.index(b"\n\\.\n\n") + len(b"\n\\.\n\n")
    place = {
        "schema": whole.index(b"CREATE TABLE") + 30,
        "statement": whole.index(b";\n", whole.index(b"CREATE TABLE")) + 2,
        "rows": whole.rindex(b"\n", 0, rows_end - 50) + 1,
        "row": whole.rindex(b"\n", 0, rows_end - 50) - 3,
        "after rows": rows_end,
        "keys": whole.index(b"ADD CONSTRAINT"),
        "commit": whole.rindex(b"COMMIT;"),
    }
    if where == "bytes":
        stored.write_bytes(stored.read_bytes()[:-200])  # the compressed file itself is cut
    else:
        stored.write_bytes(gzip.compress(whole[: place[where]]))
    shell = stock(servers, 15, backup, ".gz")
    shell.ok("create")
    said = shell.run(commands()["gzip"])
    assert "COMMIT" not in said.stdout
    assert "BEGIN" in said.stdout
    assert rows(shell.target, "SELECT relname FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'S', 'i')") == []
    assert rows(shell.target, "SELECT oid FROM pg_largeobject_metadata") == []


@pytest.mark.parametrize(
    ("major", "options", "provider", "column"),
    [
        (15, "LOCALE_PROVIDER icu ICU_LOCALE 'de' LOCALE 'C.UTF-8'", "i", "daticulocale"),
        (17, "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C.UTF-8'", "b", "datlocale"),
        (15, "ENCODING 'LATIN1' LOCALE 'C'", "c", "daticulocale"),
    ],
)
def test_a_database_is_made_with_the_locale_it_had(
    servers: Servers, program: Program, major: int, options: str, provider: str, column: str
) -> None:
    need("jq")
    original = servers.database(major, options=options)
    shell = stock(servers, major, back_up(program, original), ".gz")
    shell.ok("create")
    question = f"SELECT datlocprovider, {column}, datcollate, datctype, encoding FROM pg_database"
    question += " WHERE datname = current_database()"
    assert rows(shell.target, question) == rows(original, question)
    manifest = json.loads((Path(shell.variables["BACKUP"]) / "manifest.json").read_text())
    assert manifest["content"]["database"]["provider"] == provider
