"""A folder as an ordinary tar archive and back: walked, cut into units that workers build, unpacked safely."""

from pgproof.stream.tar.building import END, Mark, Unit, built, member, same, units
from pgproof.stream.tar.entry import Entry, Kind, walk
from pgproof.stream.tar.foreign import members, only, retold
from pgproof.stream.tar.unpacking import Unpacked, unpack

__all__ = [
    "END", "Entry", "Kind", "Mark", "Unit", "Unpacked", "built", "member", "members", "only", "retold", "same", "units",
    "unpack", "walk",
]  # fmt: skip
