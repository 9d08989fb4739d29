"""The worst day of a real Keycloak: users deleted, database dropped; back from a backup, and the same people log in."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pgproof.postgres.server import Address, connect
from pgproof.secret import Secret
from tests.conftest import Program, Servers
from tests.keycloak import ADMIN, ADMIN_PASSWORD, Keycloak, claims, keycloak, one_time_code
from tests.kit import rows, run, value

pytestmark = pytest.mark.slow

REALM, CLIENT, SERVICE = "acme", "app", "robot"
PASSWORDS = {"ann": "correct horse", "bob": "battery staple", "otto": "one more factor"}
OTP_SECRET, CLIENT_SECRET, LONG = "twenty bytes of seed", "of the robot", "ä long story, " * 40
DATABASE = "keycloak"


@dataclass
class Stage:
    """A realm with people in it, its backup, and what was so at the time of the backup."""

    program: Program
    database: Address
    keycloak: Keycloak
    tokens: dict[str, Any] = field(default_factory=dict)
    keys: list[Any] = field(default_factory=list)
    export: Any = None

    def recover(self, sessions: str) -> Any:
        """The way back, by the one command; the test itself stops and starts Keycloak around it."""
        file = self.program.folder / "pgproof.toml"
        told = re.sub(r"^sessions = .*\n", "", file.read_text(), flags=re.MULTILINE)
        file.write_text(told.replace("[stores.local]", f'sessions = "{sessions}"\n[stores.local]'))
        asked = ("recover", "keycloak", "--backup", "latest", "--json")
        plan = self.program.ok(*asked, "--dry-run").json
        return self.program.ok(*asked, "--yes", plan["hash"]).json

    def back_from(self, disaster: list[str], sessions: str) -> Any:
        """Let it happen under a running Keycloak, then bring the database back and Keycloak with it."""
        server = self.database.to("postgres")
        run(server if disaster[0].startswith("DROP") else self.database, *disaster)
        # Whoever it remembers it lets in also now that all users are gone (seen with 26.4.7): it has to stop.
        self.keycloak.stop()
        if rows(server, f"SELECT FROM pg_database WHERE datname = '{DATABASE}'"):
            assert value(self.database, "SELECT count(*) FROM public.user_entity") == 0
        told = self.recover(sessions)
        assert rows(self.database, "SELECT * FROM public.jgroups_ping") == []
        self.keycloak.start(KC_BOOTSTRAP_ADMIN_PASSWORD="a password of later")
        return told

    def logs_in(self, user: str, **more: str) -> bool:
        return self.keycloak.logs_in(REALM, user, PASSWORDS[user], client=CLIENT, **more)

    def refreshes(self, token: str) -> bool:
        return self.keycloak.refreshes(REALM, self.tokens[token]["refresh_token"], client=CLIENT)

    def after_the_backup(self) -> None:
        """What a restore undoes: a user is added, and one logs out."""
        self.keycloak.admin(f"/{REALM}/users", person("eve", "of later"))
        assert "eve" in self.keycloak.users(REALM)
        self.keycloak.log_out(REALM, self.tokens["bob"]["refresh_token"], client=CLIENT)
        assert not self.refreshes("bob")


def person(name: str, password: str, *more: dict[str, str], **attributes: str) -> dict[str, Any]:
    return {
        "username": name,
        "enabled": True,
        "email": f"{name}@example.org",
        "emailVerified": True,
        "firstName": name,
        "lastName": "Example",
        "attributes": attributes,
        "credentials": [{"type": "password", "value": password, "temporary": False}, *more],
    }


def fill(one: Keycloak) -> None:
    """A realm, two clients, three people: a long attribute, a second factor, a group, a role."""
    one.admin("", {"realm": REALM, "enabled": True, "accessTokenLifespan": 3600, "ssoSessionIdleTimeout": 36000})
    profile = one.admin(f"/{REALM}/users/profile")
    one.admin(f"/{REALM}/users/profile", {**profile, "unmanagedAttributePolicy": "ENABLED"}, "PUT")
    one.admin(f"/{REALM}/clients", {"clientId": CLIENT, "publicClient": True, "directAccessGrantsEnabled": True})
    robot = {"clientId": SERVICE, "secret": CLIENT_SECRET, "serviceAccountsEnabled": True, "publicClient": False}
    one.admin(f"/{REALM}/clients", robot)
    one.admin(f"/{REALM}/roles", {"name": "reader", "description": "may read"})
    one.admin(f"/{REALM}/groups", {"name": "people"})
    one.admin(f"/{REALM}/users", {**person("ann", PASSWORDS["ann"], story=LONG), "groups": ["people"]})
    one.admin(f"/{REALM}/users", person("bob", PASSWORDS["bob"]))
    otp = {
        "type": "otp",
        "secretData": f'{{"value":"{OTP_SECRET}"}}',
        "credentialData": '{"subType":"totp","digits":6,"counter":0,"period":30,"algorithm":"HmacSHA1"}',
    }
    one.admin(f"/{REALM}/users", person("otto", PASSWORDS["otto"], otp))


@pytest.fixture(scope="module")
def stage(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Filled, used, and backed up while it runs."""
    server, folder = servers(17), tmp_path_factory.mktemp("keycloak")
    run(server.address, "CREATE ROLE keycloak LOGIN PASSWORD 'kc'")
    run(server.address, f"CREATE DATABASE {DATABASE} OWNER keycloak TEMPLATE template0 ENCODING 'UTF8'")
    database = server.address.to(DATABASE)
    with keycloak(folder, database.as_user("keycloak", Secret("kc"))) as one:
        one.start()
        fill(one)
        made = Stage(configured(folder, database), database, one)
        for name, scope in (("ann", "openid"), ("bob", "openid"), ("offline", "openid offline_access")):
            user = name if name in PASSWORDS else "ann"
            made.tokens[name] = one.login(REALM, user, PASSWORDS[user], client=CLIENT, scope=scope)
        made.keys, made.export = one.key_set(REALM), one.exported(REALM)
        made.program.ok("backup")
        yield made
    with connect(server.address) as session:
        for (left,) in session.rows("SELECT datname FROM pg_database WHERE datname LIKE 'keycloak%'"):
            session.run(f'DROP DATABASE "{left}" WITH (FORCE)')
        session.run("DROP ROLE keycloak")


def configured(folder: Path, database: Address) -> Program:
    program = Program(folder)
    program.configure(keycloak=database)
    file = folder / "pgproof.toml"
    file.write_text(file.read_text().replace("[stores.local]", 'checks = ["keycloak"]\n[stores.local]'))
    return program


def test_the_drill_of_a_real_keycloak_passes_and_every_question_is_true(stage: Stage) -> None:
    proof = stage.program.ok("prove", "latest", "--json").json
    assert proof["proven"] and proof["findings"] == []
    assert len(proof["checks"]) == 26 and all(proof["checks"].values()), proof["checks"]
    assert len(proof["tables"]) > 80 and all(one["same"] for one in proof["tables"])


def test_the_backup_keeps_the_version_that_keycloak_says_it_is(stage: Stage) -> None:
    version = stage.keycloak.home.joinpath("version.txt").read_text().split()[-1]
    assert stage.program.ok("show", "latest", "--json").json["application"] == {"keycloak.version": version}
    assert f"  keycloak   version {version}\n" in stage.program.ok("show", "latest").out


DELETED = [
    """DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT conrelid::regclass AS name, a.attname FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE confrelid = 'public.user_entity'::regclass LOOP
        EXECUTE format('DELETE FROM %s WHERE %I IN (SELECT id FROM public.user_entity)', one.name, one.attname);
    END LOOP; END $$""",
    "DELETE FROM public.user_entity",
]
DROPPED = [f"DROP DATABASE {DATABASE} WITH (FORCE)"]


VARIANTS = [
    (DROPPED, "drop-online", {"offline"}),
    (DELETED, "keep", {"ann", "bob", "offline"}),
    (DELETED, "drop-all", set[str]()),
]


@pytest.mark.sweep(1, full=len(VARIANTS))
def test_after_it_the_same_people_log_in_and_all_is_as_it_was_at_the_backup(stage: Stage, sweep: int) -> None:
    for disaster, sessions, alive in VARIANTS[:sweep]:
        all_comes_back(stage, disaster, sessions, alive)


def all_comes_back(stage: Stage, disaster: list[str], sessions: str, alive: set[str]) -> None:
    one = stage.keycloak
    stage.after_the_backup()
    told = stage.back_from(disaster, sessions)
    assert all(told["checks"].values()) and len(told["checks"]) == 26

    assert one.key_set(REALM) == stage.keys
    assert one.knows(REALM, stage.tokens["ann"]["access_token"]) == ("ann" in alive)
    assert {token for token in stage.tokens if stage.refreshes(token)} == alive
    assert stage.logs_in("ann")
    assert stage.logs_in("bob")
    assert not stage.logs_in("otto", totp="000000")
    assert stage.logs_in("otto", totp=one_time_code(OTP_SECRET, time.time()))
    assert not one.logs_in(REALM, "ann", "a wrong password", client=CLIENT)
    form = {"grant_type": "client_credentials", "client_id": SERVICE, "client_secret": CLIENT_SECRET}
    token = one.ask(f"/realms/{REALM}/protocol/openid-connect/token", form=form)["access_token"]
    assert claims(token)["azp"] == SERVICE

    assert one.logs_in("master", ADMIN, ADMIN_PASSWORD, client="admin-cli")
    assert not one.logs_in("master", ADMIN, "a password of later", client="admin-cli")
    assert one.users(REALM) == sorted(PASSWORDS)  # and not eve
    assert one.exported(REALM) == stage.export
    members = value(stage.database, "SELECT count(*) FROM public.jgroups_ping")
    assert members == 1
