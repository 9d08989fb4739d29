"""The commands, each a few lines around a verb."""

from pgproof.cli.commands import backups, restoring, upkeep

__all__ = ["backups", "restoring", "upkeep"]
