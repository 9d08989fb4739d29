"""A folder on an SSH server as a store, by SFTP: the server's key always checked, names exclusive, writes pipelined.

paramiko carries SSH (the optional extra `sftp`; it is imported when the store is first asked something); the SFTP
protocol on top of it is spoken here, because the extensions that a durable write needs (fsync, posix-rename, limits)
and reading ahead within bounds are not to be had of paramiko's own client.
"""

from pgproof.stores.sftp.place import Place
from pgproof.stores.sftp.store import SftpStore

__all__ = ["Place", "SftpStore"]
