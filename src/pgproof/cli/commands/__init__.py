"""The commands, each a few lines around a verb."""

from pgproof.cli.commands import backups, copying, restoring, upkeep

__all__ = ["backups", "copying", "restoring", "upkeep"]
