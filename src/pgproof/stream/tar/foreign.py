"""Archives of other programs: read as entries of ours with their bytes, and ours made into one that they take."""

import tarfile
from collections.abc import Callable, Collection, Iterator
from pathlib import PurePosixPath
from typing import IO, Protocol, cast

from pgproof.errors import Damaged
from pgproof.stream.tar.building import ATTRIBUTE, RECORD, header
from pgproof.stream.tar.entry import Entry, Kind

_STRIDE = 1 << 20
_NAMES = ("path", "linkpath")  # what a pax header says of these goes before what a TarInfo says
_KINDS: dict[bytes, Kind] = {
    tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
}  # fmt: skip


class Source(Protocol):
    """Bytes by `read`, none at the end."""

    def read(self, size: int = ..., /) -> bytes: ...


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


def members(source: Source) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    """What an archive of one folder holds, as `walk` would give it, with the bytes that stand for it in an archive of
    ours: header, content and padding. The folder's own name, which comes first, is taken off. All of `source` is read,
    so a program behind it can be asked how it ended. Raises Damaged.
    """
    above = None
    try:
        with tarfile.open(fileobj=cast(IO[bytes], source), mode="r|", bufsize=_STRIDE, errorlevel=2) as archive:
            for info in archive:
                above = PurePosixPath(info.name) if above is None else above
                entry = _entry(info, above)
                if entry is not None:
                    yield entry, _bytes(entry, archive.extractfile(info) if entry.kind == "file" else None)
    except (tarfile.TarError, ValueError) as error:
        raise Damaged(f"the engine's archive cannot be read: {error}", hint="run it again") from error
    while source.read(_STRIDE):
        pass


def retold(source: Source, sink: Sink, but: Collection[str], below: str) -> tuple[int, int]:
    """One of ours into `sink`, without the names in `but`, all of it in a folder `below`, as what unpacks it may leave
    its top alone; files and bytes that it has. Raises Damaged.
    """
    sizes: dict[str, int] = {}
    try:
        with (
            tarfile.open(fileobj=cast(IO[bytes], source), mode="r|", bufsize=_STRIDE, errorlevel=2) as old,
            tarfile.open(fileobj=cast(IO[bytes], sink), mode="w|", bufsize=_STRIDE, format=tarfile.PAX_FORMAT) as new,
        ):
            for info in old:
                if info.name not in but:
                    info.pax_headers = {key: text for key, text in info.pax_headers.items() if key not in _NAMES}
                    info.name = str(PurePosixPath(below, info.name))
                    info.linkname = str(PurePosixPath(below, info.linkname)) if info.islnk() else info.linkname
                    new.addfile(info, old.extractfile(info) if info.isreg() else None)
                    sizes |= {info.name: info.size} if info.isreg() else {}
    except tarfile.TarError as error:
        raise Damaged(
            f"the archive cannot be read: {error}", hint="restore from another copy of this backup"
        ) from error
    return len(sizes), sum(sizes.values())


def only(source: Source) -> bytes:
    """The content of the one file that an archive holds. Raises Damaged where it holds none."""
    for entry, data in members(source):
        if entry.kind == "file":
            whole = b"".join(data)
            start = len(header(entry))
            return whole[start : start + entry.size]
    raise Damaged("the engine gave no file", hint="run it again")


def _entry(info: tarfile.TarInfo, above: PurePosixPath) -> Entry | None:
    """Sockets, pipes and devices are left out: a server makes its own."""
    kind = _KINDS.get(info.type)
    if kind is None:
        return None
    size = info.size if kind == "file" else 0
    words = {key.removeprefix(ATTRIBUTE): value for key, value in info.pax_headers.items() if key.startswith(ATTRIBUTE)}
    attributes = tuple((key, value.encode("utf-8", "surrogateescape")) for key, value in sorted(words.items()))
    link = _below(info.linkname, above) if kind == "hardlink" else info.linkname
    moment = int(info.mtime * 10**9)
    return Entry(
        _below(info.name, above), kind, info.mode, info.uid, info.gid, size, moment, moment, 0, link,
        attributes=attributes,
    )  # fmt: skip


def _below(name: str, above: PurePosixPath) -> str:
    path = PurePosixPath(name)
    return str(path.relative_to(above)) if path.is_relative_to(above) else str(path)


def _bytes(entry: Entry, content: IO[bytes] | None) -> Iterator[bytes]:
    yield header(entry)
    if content is not None:
        take: Callable[[int], bytes] = content.read
        while data := take(_STRIDE):
            yield data
        yield bytes(-entry.size % RECORD)
