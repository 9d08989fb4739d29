"""Whom the SFTP store talks to and how it gets in: the server's key, the user's key, the password (FAULTS C20)."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pgproof.errors import ConfigError, PgproofError, Refused, Unreachable
from pgproof.secret import Secret
from pgproof.stores.sftp import Place, SftpStore
from pgproof.stores.sftp.identities import identities
from pgproof.stores.sftp.known_hosts import known
from tests.proxy import Fault, Proxy
from tests.sftp_stub import PASSWORD, USER, Stub
from tests.sshd import Sshd, available, free_port, make_key, run, shared

pytestmark = pytest.mark.skipif(not available() and not os.environ.get("CI"), reason="no sshd (openssh-server) here")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    """One whose keys a test may change."""
    folder = tmp_path / "sshd"
    folder.mkdir()
    with Sshd(folder) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def names(place: Place) -> list[str]:
    opened = SftpStore(place)
    try:
        return [entry.name for entry in opened.list()]
    finally:
        opened.close()


def refusal(place: Place, kind: type[PgproofError]) -> PgproofError:
    with pytest.raises(kind) as caught:
        names(place)
    assert type(caught.value) is kind
    return caught.value


# -- the server's key -------------------------------------------------------------------------------


def test_c20_an_unknown_server_is_refused_with_the_fingerprint_that_it_shows(store: Path, tmp_path: Path) -> None:
    server = shared()
    for file in (tmp_path / "absent", tmp_path / "empty"):
        if file.name == "empty":
            file.touch()
        error = refusal(server.place(store, known_hosts=file), Refused)
        assert f"127.0.0.1:{server.port}" in error.message
        assert f"{server.host_key_fingerprint} (ssh-ed25519)" in error.message
        for word in ("ssh-keyscan", "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub", "known_hosts", "host_key = "):
            assert word in error.hint


def test_c20_a_changed_key_is_refused_with_both_fingerprints(server: Sshd, store: Path) -> None:
    place = server.place(store)
    assert names(place) == []
    before = server.host_key_fingerprint
    server.stop()
    server.swap_host_keys()
    server.start()
    error = refusal(place, Refused)
    assert before in error.message
    assert server.host_key_fingerprint in error.message
    assert before != server.host_key_fingerprint
    server.trust()
    assert names(place) == []


def test_c20_nothing_is_said_to_a_server_whose_key_is_wrong(server: Sshd, store: Path) -> None:
    refusal(server.place(store, host_key="SHA256:" + "A" * 43), Refused)
    assert "Accepted" not in server.log
    assert "userauth" not in server.log


@pytest.mark.slow
def test_c20_a_pinned_fingerprint_alone_counts(server: Sshd, store: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "absent"
    for kind in ("ed25519", "ecdsa", "rsa"):
        pinned = server.fingerprint(kind)
        for written in (pinned, pinned.removeprefix("SHA256:"), f" {pinned}= "):
            assert names(server.place(store, known_hosts=nowhere, host_key=written)) == [], kind
    wrong = "SHA256:" + "A" * 43
    error = refusal(server.place(store, host_key=wrong), Refused)  # known_hosts has the right one
    assert wrong in error.message
    for kind in ("ed25519", "ecdsa", "rsa"):
        assert server.fingerprint(kind) in error.message


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_kind_of_key_that_is_known_is_asked_for(server: Sshd, store: Path, kind: str) -> None:
    server.trust([kind])
    assert names(server.place(store)) == []


def test_a_known_kind_that_the_server_no_longer_has_is_a_change(tmp_path: Path, store: Path) -> None:
    (tmp_path / "sshd").mkdir()
    with Sshd(tmp_path / "sshd", kinds=("ed25519", "rsa")) as server:
        server.trust(["rsa"])
        before = server.fingerprint("rsa")
        server.stop()
        server.swap_host_keys(["ed25519"])
        server.start()
        error = refusal(server.place(store), Refused)
    assert before in error.message
    assert server.fingerprint("ed25519") in error.message


def test_c20_a_revoked_key_is_refused_even_if_it_is_known_too(server: Sshd, store: Path, tmp_path: Path) -> None:
    revoked = tmp_path / "revoked"
    server.trust(["ed25519"], name="*", file=revoked, marker="@revoked ")
    server.trust(["ed25519"])
    server.known_hosts.write_text(server.known_hosts.read_text() + revoked.read_text())
    error = refusal(server.place(store), Refused)
    assert "revoked" in error.message
    assert server.host_key_fingerprint in error.message


def test_a_certificate_authority_does_not_vouch_for_a_plain_key(server: Sshd, store: Path) -> None:
    server.trust(["ed25519"], marker="@cert-authority ")
    error = refusal(server.place(store), Refused)
    assert "certificate authority" in error.message
    assert "not known" in error.message


@pytest.mark.parametrize("name", ["[127.0.0.1]:PORT", "[127.0.0.*]:PORT", "*", "x,[127.0.0.1]:PORT", "127.0.0.1", "?*"])
def test_names_by_which_the_server_is_known(server: Sshd, store: Path, name: str) -> None:
    server.trust(name=name.replace("PORT", str(server.port)))
    assert names(server.place(store)) == []
    run("ssh-keygen", "-q", "-H", "-f", str(server.known_hosts))
    if "*" not in name:
        assert "|1|" in server.known_hosts.read_text()
    assert names(server.place(store)) == []


@pytest.mark.parametrize(
    "name", ["[127.0.0.1]:22", "127.0.0.10", "!127.0.0.1,10.*", "[127.0.0.2]:PORT", "|1|", "|1|x|"]
)
def test_names_of_other_servers_do_not_vouch_for_this_one(server: Sshd, store: Path, name: str) -> None:
    server.trust(name=name.replace("PORT", str(server.port)))
    assert "not known" in refusal(server.place(store), Refused).message


def test_another_key_under_the_plain_name_says_nothing_of_another_port(
    server: Sshd, store: Path, tmp_path: Path
) -> None:
    make_key(tmp_path / "other")
    server.known_hosts.write_text("127.0.0.1 " + (tmp_path / "other.pub").read_text())
    assert "not known" in refusal(server.place(store), Refused).message


@pytest.mark.parametrize(
    ("names_of_line", "host", "port"),
    [
        ("example.org", "example.org", 22),
        ("example.org", "EXAMPLE.org", 22),
        ("example.org", "example.org", 2222),
        ("[example.org]:2222", "example.org", 2222),
        ("[example.org]:2222", "example.org", 22),
        ("*.example.org,!bad.example.org", "good.example.org", 22),
        ("*.example.org,!bad.example.org", "bad.example.org", 22),
        ("ex?mple.org", "example.org", 22),
        ("exampleXorg", "example.org", 22),
        ("[::1]:2222", "::1", 2222),
    ],
)
def test_known_hosts_is_understood_as_ssh_keygen_does(tmp_path: Path, names_of_line: str, host: str, port: int) -> None:
    make_key(tmp_path / "key")
    file = tmp_path / "known"
    file.write_text(f"# a comment\n\nrubbish\n{names_of_line} {(tmp_path / 'key.pub').read_text()}")
    asked = host.lower() if port == 22 else f"[{host.lower()}]:{port}"
    found = subprocess.run(["ssh-keygen", "-F", asked, "-f", str(file)], capture_output=True, check=False)
    ours = known(file.read_text(), host, port)
    assert bool(ours.keys) == (found.returncode == 0)
    assert all(key.fingerprint == run("ssh-keygen", "-lf", str(tmp_path / "key.pub")).split()[1] for key in ours.keys)


@pytest.mark.parametrize(
    "line", ["h ssh-ed25519", "h ssh-ed25519 !!!", "h ssh-rsa AAAAC3NzaC1lZDI1NTE5", "@revoked", "@x h", "|1|a|b", "\0"]
)
def test_a_line_that_cannot_be_read_says_nothing(line: str) -> None:
    assert known(line, "h", 22) == known("", "h", 22)


# -- log-in -----------------------------------------------------------------------------------------


def test_a_key_that_the_server_does_not_know(store: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    error = refusal(shared().place(store, identity=tmp_path / "other"), Unreachable)
    assert "does not let" in error.message
    assert str(tmp_path / "other") in error.message
    error = refusal(shared().place(store, user="no-such-user"), Unreachable)
    assert "does not let no-such-user in" in error.message


def test_a_key_file_that_cannot_be_used_is_a_fault_of_the_configuration(store: Path, tmp_path: Path) -> None:
    server = shared()
    locked, rubbish = tmp_path / "locked", tmp_path / "rubbish"
    make_key(locked, passphrase="sesame-open")
    rubbish.write_text("no key")
    away = replace(server.place(store), port=1)  # told before anything is connected to
    for place, said in (
        (replace(away, identity=tmp_path / "absent"), "cannot be read"),
        (replace(away, identity=tmp_path), "cannot be read"),
        (replace(away, identity=rubbish), "not a private key"),
        (replace(away, identity=server.identity.with_suffix(".pub")), "not a private key"),
        (replace(away, identity=locked), "passphrase is missing"),
        (replace(away, identity=locked, passphrase=Secret("wrong-horse-battery")), "passphrase is wrong"),
    ):
        error = refusal(place, ConfigError)
        assert said in error.message
        assert "battery" not in f"{error} {error.hint}"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("passphrase", ["", "sesame-open"])
def test_keys_of_each_kind_with_and_without_passphrase(server: Sshd, store: Path, kind: str, passphrase: str) -> None:
    key = server.folder / "mine"
    make_key(key, kind, passphrase)
    (server.folder / "authorized_keys").write_text(key.with_suffix(".pub").read_text())
    assert names(server.place(store, identity=key, passphrase=Secret("sesame-open"))) == []


def test_keys_without_a_comment_are_read_as_they_are(tmp_path: Path) -> None:
    """Half of such ECDSA keys are more than paramiko's own reader can take."""
    for number in range(12):
        key = tmp_path / f"key{number}"
        make_key(key, "ecdsa")
        with identities(Place("h", identity=key)) as (loaded,):
            assert loaded.get_base64() == key.with_suffix(".pub").read_text().split()[1]


def test_without_a_file_the_usual_keys_and_the_agents_are_tried(
    server: Sshd, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    place = server.place(store, identity=None)
    assert "no key to log in with" in refusal(place, Unreachable).message
    (tmp_path / ".ssh").mkdir()
    make_key(tmp_path / ".ssh" / "id_rsa", "rsa", "nobody knows")
    assert "no key to log in with" in refusal(place, Unreachable).message
    (tmp_path / ".ssh" / "id_ed25519").write_bytes(server.identity.read_bytes())
    assert names(place) == []
    (tmp_path / ".ssh" / "id_ed25519").unlink()
    agent = run("ssh-agent", "-a", str(tmp_path / "agent"))
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        assert "no key to log in with" in refusal(place, Unreachable).message
        run("ssh-add", "-q", str(server.identity))
        assert names(place) == []
    finally:
        found = re.search(r"SSH_AGENT_PID=(\d+)", agent)
        assert found
        os.kill(int(found[1]), 15)


def test_the_usual_known_hosts_is_read(server: Sshd, store: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "not known" in refusal(server.place(store, known_hosts=None), Refused).message
    (tmp_path / ".ssh").mkdir()
    server.trust(file=tmp_path / ".ssh" / "known_hosts")
    assert names(server.place(store, known_hosts=None)) == []


def test_a_wrong_password_is_tried_once_and_never_shown(store: Path, tmp_path: Path) -> None:
    wrong = Secret("wrong-horse-battery")
    with Stub(tmp_path) as stub:
        place = Place("127.0.0.1", stub.port, USER, str(store), known_hosts=stub.known_hosts, password=wrong)
        error = refusal(place, Unreachable)
        assert "with the password" in error.message
        assert "battery" not in f"{error} {error.hint} {place!r}"
        assert stub.attempts == [("password", USER)]


def test_a_password_is_used_only_when_it_is_given(store: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / ".ssh").mkdir()
    make_key(tmp_path / ".ssh" / "id_ed25519")  # which nobody asked for
    monkeypatch.setenv("HOME", str(tmp_path))
    with Stub(tmp_path) as stub:
        place = Place(
            "127.0.0.1", stub.port, USER, str(store), known_hosts=stub.known_hosts, identity=shared().identity
        )
        refusal(place, Unreachable)
        assert set(stub.attempts) == {("publickey", USER)}
        stub.attempts.clear()
        assert names(replace(place, identity=None, password=Secret(PASSWORD))) == []
        assert stub.attempts == [("password", USER)]
        assert names(replace(place, password=Secret(PASSWORD))) == []  # the key first


def test_a_server_that_takes_no_passwords(store: Path) -> None:
    place = shared().place(store, identity=None, password=Secret("wrong-horse-battery"))
    assert "with the password" in refusal(place, Unreachable).message


# -- what is no SFTP server --------------------------------------------------------------------------


def test_nobody_there(store: Path) -> None:
    for place in (shared().place(store, port=free_port()), shared().place(store, host="no-such-host.invalid")):
        error = refusal(place, Unreachable)
        assert "does not answer" in error.message
        assert place.host in error.message


def test_somebody_else_there(store: Path, tmp_path: Path) -> None:
    (tmp_path / "sshd").mkdir()
    with Sshd(tmp_path / "sshd", subsystem="/bin/false") as server:
        error = refusal(server.place(store), Unreachable)
        assert "lost" in error.message or "SFTP" in error.message
    script = (
        "import socket, sys; server = socket.create_server(('127.0.0.1', 0)); "
        "print(server.getsockname()[1], flush=True); server.accept(); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, text=True) as silent:
        assert silent.stdout
        port = int(silent.stdout.readline())
        error = refusal(replace(shared().place(store), port=port, timeout=1.0), Unreachable)
        assert "does not speak SSH" in error.message
        silent.kill()


PROGRAM = """
import sys
from pathlib import Path
from pgproof.errors import Unreachable
from pgproof.stores.sftp import Place, SftpStore
port, user, path, identity, host_key = sys.argv[1:]
store = SftpStore(Place("127.0.0.1", int(port), user, path, Path(identity), host_key=host_key))
with store.create("x") as sink:
    sink.write(b"1" * 1000)
print("stored", flush=True)
sys.stdin.readline()
try:
    with store.create("x") as sink:
        sink.write(b"1" * 1_000_000)
except Unreachable:
    print("lost")
reader, sink = store.open("x"), store.create("y")
sink.write(b"1" * 1_000_000)
print("done")
"""


def test_a_store_left_open_prints_nothing_and_keeps_no_process(store: Path, tmp_path: Path) -> None:
    server = shared()
    with Proxy(server.port) as proxy:
        argv = [str(proxy.port), server.user, str(store), str(server.identity), server.host_key_fingerprint]
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *argv], stdin=-1, stdout=-1, stderr=-1, text=True
        ) as child:
            assert child.stdout
            assert child.stdout.readline() == "stored\n"
            proxy.plan(Fault("reset", 100, "up"))
            said, complained = child.communicate("go\n", timeout=20)
    assert (child.returncode, said, complained) == (0, "lost\ndone\n", "")
