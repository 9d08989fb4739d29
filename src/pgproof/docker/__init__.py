"""Docker, or what speaks like it: containers, volumes and images, through the user's own `docker` program."""

from pgproof.docker.engine import Engine
from pgproof.docker.nouns import Container, Mount, Volume
from pgproof.docker.order import stop_order
from pgproof.docker.own import is_own
from pgproof.docker.recipe import binds

__all__ = ["Container", "Engine", "Mount", "Volume", "binds", "is_own", "stop_order"]
