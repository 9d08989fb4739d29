"""The demonstration, which is the first thing that anybody runs."""

import tempfile
from pathlib import Path

import pytest

from pgproof.postgres import tools
from tests.conftest import Program, missing


@pytest.mark.slow
def test_the_demonstration_ends_well_and_leaves_nothing(program: Program) -> None:
    if not any(one.server for one in tools.found()):
        missing("a PostgreSQL server")
    temporary = Path(tempfile.mkdtemp(prefix="demo-", dir="/var/tmp"))  # as root, the server's user must get into it
    temporary.chmod(0o755)
    program.env["TMPDIR"] = str(temporary)
    ran = program.ok("demo", "--users", "500")
    assert "proven: restored into PostgreSQL" in ran.out
    assert "26 of 26 checks true" in ran.out
    assert "Compared with before the disaster: 89 tables" in ran.out
    damaged = ran.out.index(": damaged\n")
    assert "keycloak.sql.gz is not what was stored: its SHA-256 differs" in ran.out[damaged:]
    assert "One flipped bit did not get past `verify`." in ran.out[damaged:]
    assert "gunzip -c keycloak.sql.gz | psql -X -d DATABASE" in ran.out[damaged:]
    assert "\033" not in ran.out
    temporary.rmdir()  # nothing is left in it
