"""Backups in a store: draft, publish, list, open, forget, lock."""

from pgproof.repository.backups import GRACE, MANIFEST, UNBELIEVABLE, Draft, Repository
from pgproof.repository.found import Backup, Broken
from pgproof.repository.lease import LEASE, Holder, Lease
from pgproof.repository.memory import Memory

__all__ = [
    "GRACE",
    "LEASE",
    "MANIFEST",
    "UNBELIEVABLE",
    "Backup",
    "Broken",
    "Draft",
    "Holder",
    "Lease",
    "Memory",
    "Repository",
]
