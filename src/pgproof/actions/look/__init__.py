"""Looking around for servers to protect: a given URL, the environment, local sockets, containers."""

from pgproof.actions.look.around import Found, look_around

__all__ = ["Found", "look_around"]
