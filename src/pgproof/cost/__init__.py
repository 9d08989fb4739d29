"""What offsite storage costs: prices as a dated table, how long backups are kept, and the bill that follows."""

from pgproof.cost.bill import PIECE, Estimate, Load, Tariff, Verdict, advise, estimate, judge
from pgproof.cost.lifetimes import MONTH, Lifetimes, evenly, simulate, timeline
from pgproof.cost.prices import Prices, Provider, Retrieval, StorageClass, load, merge, shipped

__all__ = [
    "MONTH",
    "PIECE",
    "Estimate",
    "Lifetimes",
    "Load",
    "Prices",
    "Provider",
    "Retrieval",
    "StorageClass",
    "Tariff",
    "Verdict",
    "advise",
    "estimate",
    "evenly",
    "judge",
    "load",
    "merge",
    "shipped",
    "simulate",
    "timeline",
]
