"""A value that never prints: passwords and passphrases on their way to the one place that needs them."""

import re

_IN_URL = re.compile(r"(://[^\s/:@]*:)\S+@")
_NAMED = re.compile(
    r"""(?i)\b([\w-]*(?:password|passphrase|secret|token)["']?\s*[=:]\s*)('(?:[^'\\]|\\.)*'|"[^"]*"|[^\s&,;]+)"""
)
_REFERENCE = re.compile(r"(env|file):")


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


def scrubbed(text: str, longest: int = 2000) -> str:
    """The text as it may be kept: no password in a URL, none behind its name, no byte that is not UTF-8, not too long.

    A second line of defence: whoever makes a message puts no secret into it in the first place.
    """
    plain = text.encode("utf-8", "backslashreplace").decode("utf-8")
    plain = _NAMED.sub(_hidden, _IN_URL.sub(r"\1***@", plain))
    return plain if len(plain) <= longest else f"{plain[:longest]} ..."


def _hidden(found: re.Match[str]) -> str:
    return found[0] if _REFERENCE.match(found[2].strip("\"'")) else f"{found[1]}***"
