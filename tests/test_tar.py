"""A folder as an archive: what comes back is what was there, also by `tar`; nothing leaves the target."""

import io
import os
import resource
import signal
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgproof.cluster import STATES, control
from pgproof.errors import Damaged, PgproofError
from pgproof.sources.volume.archive import Archive, changed
from pgproof.stream import tar
from pgproof.stream.blocks import Finished
from pgproof.stream.progress import Silent

NAME = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)


def archive(root: Path, target: int = 1 << 16) -> bytes:
    out = bytearray()
    for unit in tar.units(tar.walk(root), target):
        tar.built(root, unit, out.extend)
    return bytes(out) + tar.END


def same(one: Path, other: Path) -> None:
    done = subprocess.run(["diff", "-r", "--no-dereference", one, other], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAME, st.binary(max_size=3000), max_size=6), st.integers(513, 5000))
def test_any_names_and_contents_come_back_by_us_and_by_tar(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], target: int
) -> None:
    root, ours, theirs = (tmp_path_factory.mktemp(name) for name in ("root", "ours", "theirs"))
    for name, content in files.items():
        (root / name).write_bytes(content)
    made = archive(root, target)
    tar.unpack(io.BytesIO(made), ours)
    same(root, ours)
    subprocess.run(["tar", "-xf", "-", "-C", theirs], input=made, check=True, capture_output=True)
    same(root, theirs)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAME, st.binary(max_size=3000), max_size=6))
def test_what_another_program_archived_and_what_it_is_given_are_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    """As an engine does: a folder under its own name out of it, and one folder deeper into it."""
    above, back, deeper = (tmp_path_factory.mktemp(name) for name in ("above", "back", "deeper"))
    root = above / "data"
    root.mkdir(mode=0o700)
    for name, content in files.items():
        (root / name).write_bytes(content)
    (root / "hard").mkdir()
    (root / "hard" / "one").write_bytes(b"linked")
    (root / "hard" / ("two" * 60)).hardlink_to(root / "hard" / "one")
    (root / "soft").symlink_to("hard/one")
    theirs = subprocess.run(["tar", "-C", above, "-cf", "-", "data"], check=True, capture_output=True).stdout
    ours = b"".join(piece for _, data in tar.members(io.BytesIO(theirs)) for piece in data) + tar.END
    tar.unpack(io.BytesIO(ours), back)
    same(root, back)
    assert (back.stat().st_mode & 0o777, (back / "hard" / "one").stat().st_nlink) == (0o700, 2)
    told = io.BytesIO()
    assert tar.retold(io.BytesIO(ours), told, {"hard"}, "volume")[0] == len(files) + 1
    subprocess.run(["tar", "-xf", "-", "-C", deeper], input=told.getvalue(), check=True, capture_output=True)
    same(root, deeper / "volume")


@pytest.mark.parametrize(
    "evil",
    [
        ("../outside", tarfile.REGTYPE, ""),
        ("/tmp/outside", tarfile.REGTYPE, ""),
        ("link/inside", tarfile.REGTYPE, ""),
        ("hard", tarfile.LNKTYPE, "../outside"),
        ("pipe", tarfile.FIFOTYPE, ""),
    ],
)
def test_e19_no_member_leaves_the_target(tmp_path: Path, evil: tuple[str, bytes, str]) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as out:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        out.addfile(link)
        info = tarfile.TarInfo(evil[0])
        info.type, info.linkname = evil[1], evil[2]
        out.addfile(info)
    with pytest.raises(PgproofError):
        tar.unpack(io.BytesIO(made.getvalue()), target)
    assert list(outside.iterdir()) == []


def test_a_later_member_wins_and_what_went_is_left_out(tmp_path: Path) -> None:
    root, target = tmp_path / "root", tmp_path / "target"
    root.mkdir()
    target.mkdir()
    (root / "file").write_bytes(b"first")
    (root / "gone").write_bytes(b"x")
    first = archive(root)[: -len(tar.END)]
    (root / "file").write_bytes(b"second, longer")
    (root / "gone").unlink()
    tar.unpack(io.BytesIO(first + archive(root)), target, but={"gone"})
    same(root, target)


def test_a_truncated_archive_is_damaged(tmp_path: Path) -> None:
    root, target = tmp_path / "root", tmp_path / "target"
    root.mkdir()
    target.mkdir()
    (root / "file").write_bytes(b"x" * 5000)
    with pytest.raises(Damaged):
        tar.unpack(io.BytesIO(archive(root)[:3000]), target)


def test_a_write_that_the_times_do_not_tell_is_found_by_content(tmp_path: Path) -> None:
    """The same size and the same times, as a coarse clock gives them: only the content tells."""
    (tmp_path / "file").write_bytes(b"a" * 100_000)
    entries = {one.name: one for one in tar.walk(tmp_path)}
    marks: list[tar.Mark] = []
    for unit in tar.units(entries.values(), 30_000):
        tar.built(tmp_path, unit, lambda _: None, marks.append)
    began = entries["file"].mtime_ns
    assert list(changed(tmp_path, entries, entries.values(), marks, began)) == []
    with (tmp_path / "file").open("r+b") as file:
        file.seek(70_000)
        file.write(b"b")
    lying = list(entries.values())  # as if the second write had the times of the first
    assert [one.name for one in changed(tmp_path, entries, lying, marks, began)] == ["file"]
    assert list(changed(tmp_path, entries, lying, marks, began + 10**12)) == [], (
        "long before the pass times are believed"
    )


def test_a_file_that_shrinks_while_it_is_read_keeps_the_archive_whole(tmp_path: Path) -> None:
    root, target = tmp_path / "root", tmp_path / "target"
    root.mkdir()
    target.mkdir()
    (root / "a").write_bytes(b"a" * 10_000)
    (root / "b").write_bytes(b"b" * 10)
    parts = list(tar.units(tar.walk(root), 4096))
    (root / "a").write_bytes(b"a")
    out = bytearray()
    for unit in parts:
        tar.built(root, unit, out.extend)
    tar.unpack(io.BytesIO(bytes(out) + tar.END), target)
    assert (target / "b").read_bytes() == b"b" * 10 and (target / "a").stat().st_size == 10_000


@pytest.mark.slow
def test_the_control_file_of_a_real_server(tmp_path: Path) -> None:
    """What we read of it is what pg_controldata says."""
    from pgproof.postgres import tools
    from pgproof.postgres.scratch import scratch

    for one in [each for each in tools.found() if each.server]:
        with scratch(one) as server:
            data = (server.folder / "data" / "global" / "pg_control").read_bytes()
            said = subprocess.run(
                [server.tools.program("pg_controldata"), str(server.folder / "data")],
                capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"},
            ).stdout  # fmt: skip
        found = control(data)
        assert f"Database system identifier:           {found.system_identifier}\n" in said
        assert f"Database cluster state:               {found.state}\n" in said and found.state in STATES
        assert f"Latest checkpoint location:           {found.checkpoint}\n" in said
        assert f"Latest checkpoint's TimeLineID:       {found.timeline}\n" in said
        assert f"pg_control version number:            {found.version}\n" in said


@pytest.mark.parametrize("data", [b"", b"\0" * 8192, b"\xff" * 8192])
def test_what_is_no_control_file_is_refused(data: bytes) -> None:
    with pytest.raises(Damaged):
        control(data)


@dataclass
class Slow:
    """A part that remembers what it was given."""

    taken: list[Finished] = field(default_factory=list)

    def append(self, block: Finished) -> None:
        self.taken.append(block)


@pytest.mark.parametrize("room", [0, 1 << 20, 1 << 30])
def test_no_store_is_waited_for_while_a_server_stands_still(
    tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks come in their order, whether all, some or none of them find room in the temporary file."""
    root, small = tmp_path / "root", tmp_path / "small"
    root.mkdir()
    small.mkdir()
    for number in range(6):
        (root / f"{number}").write_bytes(os.urandom(12 << 20))
    monkeypatch.setattr("tempfile.tempdir", str(small))
    out = Slow()
    entries = list(tar.walk(root))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Archive(root, out, "none", 2, Silent()) as archive:
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            archive.add(entries, hold=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, before)
        assert bool(out.taken) == (room < 1 << 30)
        archive.finish()
    back = tmp_path / "back"
    back.mkdir()
    tar.unpack(io.BytesIO(b"".join(block.data for block in out.taken)), back)
    same(root, back)
