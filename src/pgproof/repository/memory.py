"""What this machine remembers of a store: losing it loses no backup, and a listing that lags says less than it."""

from typing import Protocol


class Memory(Protocol):
    """The newest backup of each source that was published from here."""

    def newest(self, source: str) -> str | None:
        """Its id."""
        ...

    def note(self, source: str, backup: str) -> None:
        """Remember it; what cannot be written down is no reason to fail."""
        ...


class Forgetful(Memory):
    """Remembers nothing."""

    def newest(self, source: str) -> str | None:
        del source
        return None

    def note(self, source: str, backup: str) -> None:
        """Nothing is kept."""
