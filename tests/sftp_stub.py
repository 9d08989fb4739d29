"""An SSH server made of paramiko: SFTP without any of OpenSSH's extensions, and a rename that overwrites.

It lets one user in by password and counts how often it was asked to.
"""

import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Any, Self

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.sftp import SFTP_OK, SFTP_OP_UNSUPPORTED

USER, PASSWORD = "backup", "right-horse-battery"


class _Gate(paramiko.ServerInterface):
    def __init__(self, stub: "Stub") -> None:
        self.stub = stub

    def get_allowed_auths(self, username: str) -> str:
        return "password,publickey"

    def check_auth_password(self, username: str, password: str) -> int:
        self.stub.attempts.append(("password", username))
        good = (username, password) == (USER, PASSWORD)
        return AUTH_SUCCESSFUL if good else AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.stub.attempts.append(("publickey", username))
        return AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED


class _Handle(paramiko.SFTPHandle):
    readfile: Any  # paramiko reads from these two and writes into them
    writefile: Any

    def stat(self):
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))

    def chattr(self, attr):
        return SFTP_OP_UNSUPPORTED


class _Forgetful(_Handle):
    def write(self, offset, data):
        return SFTP_OK if offset else super().write(offset, data)


class _Files(paramiko.SFTPServerInterface):
    handle: type[_Handle] = _Handle

    def list_folder(self, path):
        return self._do(
            lambda: [
                paramiko.SFTPAttributes.from_stat(entry.stat(follow_symlinks=False), entry.name)
                for entry in os.scandir(path)
            ]
        )

    def stat(self, path):
        return self._do(lambda: paramiko.SFTPAttributes.from_stat(os.stat(path)))

    def lstat(self, path):
        return self._do(lambda: paramiko.SFTPAttributes.from_stat(os.lstat(path)))

    def open(self, path, flags, attr):
        def opened():
            fd = os.open(path, flags & ~os.O_WRONLY | os.O_RDWR if flags & os.O_WRONLY else flags, 0o600)
            handle = self.handle(flags)
            handle.readfile = handle.writefile = os.fdopen(fd, "r+b" if flags & os.O_WRONLY else "rb", buffering=0)
            return handle

        return self._do(opened)

    def remove(self, path):
        return self._do(lambda: os.unlink(path))

    def rename(self, old, new):
        return self._do(lambda: os.rename(old, new))

    def mkdir(self, path, attr):
        return self._do(lambda: os.mkdir(path, 0o700))

    def rmdir(self, path):
        return self._do(lambda: os.rmdir(path))

    def _do(self, work):
        try:
            done = work()
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        return SFTP_OK if done is None else done


class _ForgetfulFiles(_Files):
    handle = _Forgetful


class Stub:
    """As a context manager; `port` on loopback. A `forgetful` one says of every write but the first that it is done."""

    def __init__(self, folder: Path, *, forgetful: bool = False) -> None:
        self._files = _ForgetfulFiles if forgetful else _Files
        self.attempts: list[tuple[str, str]] = []
        self.known_hosts = folder / "stub_known_hosts"
        self._key = paramiko.ECDSAKey.generate()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {self._key.get_name()} {self._key.get_base64()}\n")
        self._transports: list[paramiko.Transport] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for transport in self._transports:
            transport.close()
            transport.join(5)
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            transport.add_server_key(self._key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, self._files)
            self._transports.append(transport)
            transport.start_server(event=threading.Event(), server=_Gate(self))
