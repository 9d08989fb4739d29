"""Where an SFTP store is, and how to get in."""

import getpass
from dataclasses import dataclass
from pathlib import Path

from pgproof.errors import ConfigError
from pgproof.secret import Secret


@dataclass(frozen=True, slots=True)
class Place:
    """`path` is the folder on the server; a relative one is below the folder that a log-in leads to.

    `user`: "" is the running user. `identity`: a private key's file; None is the agent and the usual keys in ~/.ssh.
    `passphrase` is the key file's. `password`: log-in by password only when this is given. `known_hosts`: None is
    ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts. `host_key`: a fingerprint "SHA256:..." which then alone counts.
    `timeout`: seconds without an answer after which the server counts as unreachable. ssh's own configuration
    (~/.ssh/config: aliases, jumps) is not read.
    """

    host: str
    port: int = 22
    user: str = ""
    path: str = ""
    identity: Path | None = None
    passphrase: Secret | None = None
    password: Secret | None = None
    known_hosts: Path | None = None
    host_key: str = ""
    timeout: float = 30.0

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        path = self.path if self.path.startswith("/") else f"/~/{self.path}"
        return f"sftp://{user}{self.server}{path}"

    @property
    def server(self) -> str:
        """The host, with its port if that is not 22."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 22 else f"{host}:{self.port}"

    @property
    def login(self) -> str:
        """The name to log in with. Raises ConfigError when the running user has none."""
        try:
            return self.user or getpass.getuser()
        except (KeyError, OSError):
            raise ConfigError(
                f"no user name for the SSH server {self.server}", hint="give one; the running user has none"
            ) from None
