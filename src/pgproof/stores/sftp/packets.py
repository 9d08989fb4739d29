"""SFTP, version 3 (draft-ietf-secsh-filexfer-02): numbers, and the packets that we use, both ways.

Extensions are OpenSSH's, as its file PROTOCOL describes them.
"""

import struct
from dataclasses import dataclass

# Requests.
INIT, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT = 1, 3, 4, 5, 6, 7, 8
FSETSTAT, SETSTAT, OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, STAT, RENAME = 10, 9, 11, 12, 13, 14, 15, 17, 18
EXTENDED = 200
# Answers.
VERSION, STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY = 2, 101, 102, 103, 104, 105, 201
# What a STATUS says.
OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, OP_UNSUPPORTED = 0, 1, 2, 3, 4, 8
# How to open a file.
FOR_READING, NEW = 0x01, 0x02 | 0x08 | 0x20  # write, create, exclusively

FSYNC = b"fsync@openssh.com"
POSIX_RENAME = b"posix-rename@openssh.com"
STATVFS = b"statvfs@openssh.com"
LIMITS = b"limits@openssh.com"

_SIZE, _OWNER, _MODE, _TIMES, _MORE = 1, 2, 4, 8, 0x80000000


class Failed(Exception):
    """The server says no: the code of a STATUS and its words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass(frozen=True, slots=True)
class Attributes:
    """Size in bytes, mode as in stat(2), time of modification in seconds since 1970; 0 for what was not said."""

    size: int
    mode: int
    modified: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The kind of an answer and what follows its number."""

    kind: int
    body: bytes

    def handle(self) -> bytes:
        return _Cursor(self.body).text()

    def data(self) -> bytes:
        return self.body[4:]

    def attributes(self) -> Attributes:
        return _Cursor(self.body).attributes()

    def names(self) -> list[tuple[str, Attributes]]:
        """File names; bytes that are not UTF-8 as surrogate escapes."""
        cursor = _Cursor(self.body)
        found = []
        for _ in range(cursor.number()):
            name = cursor.text().decode("utf-8", "surrogateescape")
            cursor.text()  # as `ls -l` shows it
            found.append((name, cursor.attributes()))
        return found

    def numbers(self) -> tuple[int, ...]:
        """All of it as unsigned 64-bit numbers: what statvfs and limits answer."""
        return struct.unpack(f">{len(self.body) // 8}Q", self.body[: len(self.body) // 8 * 8])

    def failure(self) -> Failed | None:
        """What a STATUS says, if it is not that all is well."""
        if self.kind != STATUS:
            return None
        cursor = _Cursor(self.body)
        code = cursor.number()
        if code == OK:
            return None
        return Failed(code, cursor.text().decode("utf-8", "replace") if len(self.body) > 4 else f"status {code}")


class _Cursor:
    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def number(self, size: int = 4) -> int:
        self._at += size
        return int.from_bytes(self._body[self._at - size : self._at], "big")

    def text(self) -> bytes:
        size = self.number()
        self._at += size
        return self._body[self._at - size : self._at]

    def attributes(self) -> Attributes:
        flags = self.number()
        size = self.number(8) if flags & _SIZE else 0
        if flags & _OWNER:
            self.number(8)
        mode = self.number() if flags & _MODE else 0
        modified = self.number(8) & 0xFFFFFFFF if flags & _TIMES else 0
        if flags & _MORE:
            for _ in range(2 * self.number()):
                self.text()
        return Attributes(size, mode, modified)


def number(value: int) -> bytes:
    return struct.pack(">I", value)


def large(value: int) -> bytes:
    return struct.pack(">Q", value)


def text(value: bytes | bytearray) -> bytes:
    return b"".join((struct.pack(">I", len(value)), value))


def mode(permissions: int) -> bytes:
    """Attributes that set the permissions and nothing else."""
    return struct.pack(">II", _MODE, permissions)


def extensions(body: bytes) -> dict[bytes, bytes]:
    """The pairs of a VERSION, which follow its number."""
    cursor, found = _Cursor(body), {}
    rest = len(body)
    while rest > 0:
        name, value = cursor.text(), cursor.text()
        found[name] = value
        rest -= 8 + len(name) + len(value)
    return found
