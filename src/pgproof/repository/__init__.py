"""Backups in a store: draft, publish, list, open, forget, lock."""

from pgproof.repository.backups import GRACE, MANIFEST, UNBELIEVABLE, Backup, Broken, Draft, Repository
from pgproof.repository.lease import LEASE, Holder, Lease

__all__ = ["GRACE", "LEASE", "MANIFEST", "UNBELIEVABLE", "Backup", "Broken", "Draft", "Holder", "Lease", "Repository"]
