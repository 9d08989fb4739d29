"""What can be done with a volume backup: restore it into a volume, drill it in a container of its own image, and try
restored files out before they are put in the place of others.
"""

from pgproof.actions.volume.drilling import Conditions, Found, drill
from pgproof.actions.volume.exchange import exchange, finish, refuse_used
from pgproof.actions.volume.filling import filled
from pgproof.actions.volume.restoring import Plan, Restored, plan, restore
from pgproof.actions.volume.trial import try_out
from pgproof.actions.volume.unpacking import cluster_of, image_of

__all__ = [
    "Conditions", "Found", "Plan", "Restored", "cluster_of", "drill", "exchange", "filled", "finish", "image_of",
    "plan", "refuse_used", "restore", "try_out",
]  # fmt: skip
