"""The volume source: the files of a stopped server, with a stop as short as can be and containers put back always.

first pass, server running (large volumes) ─┐
stop, what has changed since ───────────────┼──> volume.tar.gz ──> store
start as soon as the last byte is read ─────┘
"""

from pgproof.sources.volume.capture import Volume
from pgproof.sources.volume.stopping import Left, alone, left_stopped, put_back_all

__all__ = ["Left", "Volume", "alone", "left_stopped", "put_back_all"]
