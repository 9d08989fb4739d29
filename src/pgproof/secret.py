"""A value that never prints: passwords and passphrases on their way to the one place that needs them."""


class Secret:
    """Holds text that `repr`, `str`, f-strings and JSON cannot show; only `reveal` gives it.

    Bytes that are not UTF-8 are kept exactly, as surrogate escapes (PEP 383).
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def reveal_bytes(self) -> bytes:
        return self._value.encode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not pickled")
