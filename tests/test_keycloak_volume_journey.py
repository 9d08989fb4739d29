"""The worst day of a real Keycloak in Docker: the container and the volume of its database are gone."""

import time
from pathlib import Path

import pytest

from pgproof.postgres.server import connect
from tests import engine
from tests.conftest import Program
from tests.engine import docker
from tests.keycloak import Answer, Keycloak, keycloak, one_time_code
from tests.test_keycloak_journey import CLIENT, OTP_SECRET, PASSWORDS, REALM, fill, person

pytestmark = pytest.mark.slow


def answers(one: Keycloak) -> bool:
    try:
        return bool(one.users(REALM))
    except Answer:
        return False


@pytest.mark.sweep(0, full=1)
def test_the_volume_is_removed_and_the_same_people_log_in(tmp_path: Path, sweep: int) -> None:
    """By `pgproof recover` of the volume; the sessions that were online are dropped, as configured.

    A sweep compares what Keycloak exports too, which takes a start of its own each time.
    """
    with engine.stack() as stack, keycloak(tmp_path, stack.address) as one:
        program = Program(tmp_path, {"STACK_PASSWORD": engine.PASSWORD, "DOCKER_HOST": engine.address()})
        lines = 'checks = ["keycloak"]\nsessions = "drop-online"\n'
        (tmp_path / "pgproof.toml").write_text(f'{stack.source}{lines}[stores.local]\nurl = "{program.store}"\n')
        with connect(stack.address, "postgres") as session:
            session.run("DROP DATABASE keycloak")
            session.run("CREATE DATABASE keycloak TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
        one.start()
        fill(one)
        online = one.login(REALM, "ann", PASSWORDS["ann"], client=CLIENT, scope="openid")
        offline = one.login(REALM, "bob", PASSWORDS["bob"], client=CLIENT, scope="openid offline_access")
        keys, export = one.key_set(REALM), one.exported(REALM) if sweep else None
        made = program.ok("backup", "--json").json
        assert made["cluster"]["stop"]["seconds"] < 30
        proof = program.ok("prove", "--json").json
        assert proof["proven"] and len(proof["checks"]) == 26 and all(proof["checks"].values()), proof
        engine.eventually(lambda: answers(one))  # its connections of before the stop are dead, one by one
        one.admin(f"/{REALM}/users", person("eve", "of later"))

        one.stop()
        docker("rm", "--force", stack.database)
        docker("volume", "rm", stack.volume)
        plan = program.ok("recover", "--dry-run", "--json").json
        told = program.ok("recover", "--yes", plan["hash"], "--json").json
        assert len(told["checks"]) == 26 and all(told["checks"].values())
        one.start()

        assert one.key_set(REALM) == keys and (one.exported(REALM) if sweep else None) == export
        assert one.users(REALM) == sorted(PASSWORDS)  # and not eve
        for user in ("ann", "bob"):
            assert one.logs_in(REALM, user, PASSWORDS[user], client=CLIENT)
        code = one_time_code(OTP_SECRET, time.time())
        assert one.logs_in(REALM, "otto", PASSWORDS["otto"], client=CLIENT, totp=code)
        assert not one.refreshes(REALM, online["refresh_token"], client=CLIENT)
        assert one.refreshes(REALM, offline["refresh_token"], client=CLIENT)
