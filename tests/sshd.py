"""A real sshd on a loopback port, with keys, users' keys and known_hosts of its own, in one folder."""

import atexit
import contextlib
import functools
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Self

from pgproof.stores.sftp import Place
from tests.conftest import missing

PROGRAM = shutil.which("sshd") or "/usr/sbin/sshd"
KINDS = ("ed25519", "ecdsa", "rsa")


class Sshd:
    """Started by start(), and again after stop(); the port stays. `options` are lines for sshd_config, before ours."""

    def __init__(self, folder: Path, *, options: str = "", subsystem: str = "internal-sftp", kinds=KINDS) -> None:
        self.folder = folder
        self.user = getpass.getuser()
        self.port = free_port()
        self.identity = folder / "id_ed25519"
        self.known_hosts = folder / "known_hosts"
        self.options, self.subsystem = options, subsystem
        self._process: subprocess.Popen[bytes] | None = None
        make_key(self.identity)
        (folder / "authorized_keys").write_text(self.identity.with_suffix(".pub").read_text())
        self.swap_host_keys(kinds)
        self.trust()

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text()

    @property
    def host_key_fingerprint(self) -> str:
        """Of the key that clients prefer, as ssh-keygen prints it: SHA256:..."""
        return self.fingerprint("ed25519")

    def fingerprint(self, kind: str) -> str:
        file = self.folder / f"ssh_host_{kind}_key.pub"
        return run("ssh-keygen", "-lf", str(file)).split()[1]

    def swap_host_keys(self, kinds=KINDS) -> None:
        """New host keys, of these kinds; a running server takes them at its next start()."""
        for old in self.folder.glob("ssh_host_*"):
            old.unlink()
        for kind in kinds:
            make_key(self.folder / f"ssh_host_{kind}_key", kind)

    def trust(self, kinds=KINDS, name: str | None = None, file: Path | None = None, marker: str = "") -> None:
        """Write known_hosts with the host keys of these kinds."""
        lines = [
            f"{marker}{name or f'[127.0.0.1]:{self.port}'} {path.read_text()}"
            for kind in kinds
            if (path := self.folder / f"ssh_host_{kind}_key.pub").exists()
        ]
        (file or self.known_hosts).write_text("".join(lines))

    def place(self, path: Path | str, **more) -> Place:
        at = Place("127.0.0.1", self.port, self.user, str(path), self.identity, known_hosts=self.known_hosts)
        return replace(at, **more)

    def table(self, name: str, path: Path | str, *lines: str) -> str:
        """The lines of a configuration for a store in this folder."""
        return "\n".join(
            [
                f"[stores.{name}]",
                f'url = "sftp://{self.user}@127.0.0.1:{self.port}{path}"',
                f'identity = "{self.identity}"',
                *(lines or (f'known_hosts = "{self.known_hosts}"',)),
                "",
            ]
        )

    def start(self) -> Self:
        config = self.folder / "sshd_config"
        host_keys = [f"HostKey {path}" for path in sorted(self.folder.glob("ssh_host_*_key"))]
        lines = [
            self.options,
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            *host_keys,
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "PidFile none",
            "PubkeyAuthentication yes",
            "PermitRootLogin yes",
            "StrictModes no",
            "UsePAM no",
            "UseDNS no",
            "MaxStartups 200",
            f"Subsystem sftp {self.subsystem}",
        ]
        config.write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # privilege separation wants it
        with open(self.folder / "sshd.log", "ab") as log:
            argv = [PROGRAM, "-D", "-e", "-f", str(config)]
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                assert self._process.poll() is None, self.log
                time.sleep(0.05)
        raise AssertionError(self.log)

    def stop(self) -> None:
        """End it and the sessions that it serves, at once."""
        if self._process is None:
            return
        for child in descendants(self._process.pid):
            kill(child)
        self._process.kill()
        self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def available() -> bool:
    return Path(PROGRAM).exists() and shutil.which("ssh-keygen") is not None


@functools.cache
def shared() -> Sshd:
    """One for the whole session of tests."""
    if not available():
        missing("sshd (Debian's package openssh-server)")
    folder = Path(tempfile.mkdtemp(prefix="pgproof-sshd-"))
    server = Sshd(folder).start()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.stop)
    return server


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> None:
    size = ["-b", "2048"] if kind == "rsa" else []  # the usual 3072 takes a second to find
    run("ssh-keygen", "-q", "-t", kind, *size, "-N", passphrase, "-C", "", "-f", str(path))


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # its thread has ended meanwhile
            found += [int(word) for word in path.read_text().split()]
    return [one for child in found for one in (child, *descendants(child))]


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 9)
