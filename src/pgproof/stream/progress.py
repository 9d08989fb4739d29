"""How far a long action has come, told to whoever watches; the core itself never prints."""

from typing import Protocol


class Progress(Protocol):
    """Told from several threads. `total` is in the unit of `advance`: bytes, and may be an estimate."""

    def begin(self, what: str, total: int = 0) -> None: ...
    def advance(self, amount: int) -> None: ...


class Silent:
    """Nobody watches."""

    def begin(self, what: str, total: int = 0) -> None:
        """Nothing to tell."""

    def advance(self, amount: int) -> None:
        """Nothing to tell."""
