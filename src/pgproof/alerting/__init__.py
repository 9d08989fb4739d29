"""Alerting: what is new, has changed, is due again or is over, decided purely; and the words in which it is told."""

from pgproof.alerting.digest import Digest, Event, body, gravest, joined, title
from pgproof.alerting.scrub import scrub
from pgproof.alerting.told import Known, Policy, Told, decide

__all__ = ["Digest", "Event", "Known", "Policy", "Told", "body", "decide", "gravest", "joined", "scrub", "title"]
