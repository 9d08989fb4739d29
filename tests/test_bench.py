"""The benchmark runs from end to end, on little data, and its page has all rows."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_quick_run_has_all_rows(tmp_path: Path) -> None:
    page, document = tmp_path / "benchmarks.md", tmp_path / "benchmarks.json"
    place = Path(tempfile.mkdtemp(prefix="bench-"))
    place.chmod(0o755)  # its server runs as nobody, who may not enter tmp_path
    argv = [sys.executable, str(ROOT / "bench" / "bench.py"), "--quick", "--below", str(place)]
    done = subprocess.run(
        [*argv, "--out", str(page), "--json", str(document)],
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    for line in (
        "`pg_dump keycloak \\| gzip > keycloak-script.sql.gz`",
        "pg_dump -Fd -j2",
        "pg_dump keycloak > /dev/null",
        "`pgproof backup --quiet --config gzip.toml`",
        "`pgproof backup --quiet --config zstd.toml`",
        "`pgproof backup --quiet --config gzip-gpg.toml`",
        "gunzip -c keycloak-script.sql.gz \\| psql",
        "`pg_restore -j2 -d restored keycloak-directory`",
        "`pg_restore -j2 -d restored lopsided-directory`",
        "`pgproof restore latest --to restored --jobs 2 --quiet --config gzip.toml`",
        "`pgproof restore latest --to restored --jobs 2 --quiet --config lopsided-zstd.toml`",
        "`pgproof prove --quiet --config gzip.toml`",
        "`pgproof prove --quiet --config zstd.toml`",
        "`pgproof list --config gzip.toml`",
        "`pgproof --version`",
        "| `pgproof backup` |",
        "| `pgproof restore` |",
        "| `pgproof prove` |",
        "| PostgreSQL | ",
        "| cores, memory | ",
    ):
        assert line in text, f"the page lacks {line}"
    found = json.loads(document.read_text())
    assert len(found["goals"]) == 22
    assert {goal["what"].split(",")[0].split(":")[0] for goal in found["goals"]} >= {
        "backup",
        "restore",
        "drill",
        "prove",
    }
    for goal in found["goals"]:
        assert f"| {goal['what']} |" in text
    assert all(len(one["seconds"]) == 1 and one["median"] > 0 for one in found["backup"])
    assert found["memory"]["prove"]["everything"] > found["memory"]["prove"]["programs"] > 0
    place.rmdir()  # which says that nothing was left in it


@pytest.mark.slow
def test_uploads_are_compared(tmp_path: Path) -> None:
    page = tmp_path / "offsite.md"
    argv = [sys.executable, str(ROOT / "bench" / "offsite.py"), "--megabytes", "24", "--rounds", "1", "--aws", ""]
    subprocess.run([*argv, "--below", str(tmp_path), "--out", str(page)], check=True, timeout=120, capture_output=True)
    text = page.read_text()
    for words in ("| upload: throughput | `rclone copyto` |", "| upload: peak memory |", "| pgproof |"):
        assert words in text, text


@pytest.mark.slow
def test_one_table_out_of_a_bucket_is_measured() -> None:
    place = Path(tempfile.mkdtemp(prefix="bench-"))
    place.chmod(0o755)  # its server runs as nobody, who may not enter tmp_path
    page = place / "selection.md"
    argv = [sys.executable, str(ROOT / "bench" / "selection.py"), "--megabytes", "20", "--below", str(place)]
    subprocess.run([*argv, "--out", str(page)], check=True, timeout=120, capture_output=True)
    text = page.read_text()
    page.unlink()
    place.rmdir()  # which says that nothing was left in it
    for table in ("wanted", "big"):
        assert (
            f"| restore `--table {table}`: bytes downloaded | the compressed bytes of its blocks | below 1.1 | 1.0"
            in text
        )
