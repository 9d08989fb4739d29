"""Connection URLs and strings as people write them: what libpq would not take, or would misread and then tell."""

import re
from urllib.parse import parse_qsl

from pgproof.errors import ConfigError

_WORD = r"'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*"
_CONNINFO = re.compile(rf"\s*(?:\w+\s*=\s*(?:{_WORD})(?:\s+|$))+", re.DOTALL)
_CONNINFO_KEY = re.compile(rf"\s*(\w+)\s*=\s*(?:{_WORD})", re.DOTALL)
_USER_INFO = re.compile(r"postgres(?:ql)?://([^@/]*)@")
_ELSEWHERE = 'take it out and add a line such as: password = "file:/run/secrets/database"'
_ENCODE = "in a URL write an @ of a name or password as %40 and a / as %2F, or keep the password apart from it"


def check_url(url: str, path: str) -> None:
    """Refuse what libpq would not take, and a password in it. Raises ConfigError; it never shows the URL."""
    if url.startswith(("postgresql://", "postgres://")):
        info = _USER_INFO.match(url)
        named = {key for key, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True)}
        secret = bool(info and info[1].partition(":")[2])
    elif _CONNINFO.fullmatch(url):
        named, secret = set(_CONNINFO_KEY.findall(url)), False
    else:
        hint = 'write "postgresql://user@host:5432/database" or "host=... user=... dbname=..."'
        raise ConfigError(f"{path} is neither a connection URL nor a connection string", hint=hint)
    if secret or named & {"password", "sslpassword"}:
        raise ConfigError(f"{path} has a password in it", hint=_ELSEWHERE)
    refuse_misread(url, path)


def is_misread(url: str) -> bool:
    """Whether libpq may take a part of the password for host, port or database, and tell it to everybody: in a URL
    it ends the password at the first `@`, and with a `/` before that it sees no password at all (PostgreSQL docs
    34.1.1.2: such characters are %-encoded).
    """
    scheme, _, rest = url.partition("://")
    before, at, behind = rest.partition("@")
    return "=" not in scheme and bool(at) and ":" in before and ("/" in before or "@" in behind)


def refuse_misread(url: str, path: str) -> None:
    """Raise ConfigError for such a URL, without showing it."""
    if is_misread(url):
        raise ConfigError(f"{path} has an @ or / that is not encoded", hint=_ENCODE)


def lacks_scheme(text: str) -> bool:
    """Whether it has the form of `user:password@host`, and so a password, and yet nothing that makes a URL of it."""
    return "://" not in text and re.search(r":[^@]*@", text) is not None
