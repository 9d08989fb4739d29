"""The commands, each a few lines around a verb."""

from pgproof.cli.commands import (
    alerting,
    auditing,
    backups,
    copying,
    costing,
    kit,
    measuring,
    recovering,
    restoring,
    reviewing,
    role,
    scheduling,
    service,
    upkeep,
)

__all__ = [
    "alerting",
    "auditing",
    "backups",
    "copying",
    "costing",
    "kit",
    "measuring",
    "recovering",
    "restoring",
    "reviewing",
    "role",
    "scheduling",
    "service",
    "upkeep",
]
