"""Scrubbing: what leaves this machine as text holds no secret and no row of the data.

A second line of defence: whoever makes a message puts neither into it in the first place.
"""

import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from pgproof.secret import Secret

GONE = "..."
_SHORT = 4  # characters: a shorter secret is replaced as a whole word only, or it would take words apart
# Each pattern is bounded or begins with something fixed: a text is made by others, and may be made to take long.
_LONGEST = 20_000  # characters
_IN_URL = re.compile(r"(://[^\s/:@]{0,200}:)\S+@")
_NAME = r"(?:password|passwd|passphrase|pwd|secret|token|access_key|api_?key|signature|credential)[\w-]{0,40}"
_VALUE = r"""'(?:[^'\\]|\\.)*'?|"(?:[^"\\]|\\.)*"?|[^\s&]+"""
_NAMED = re.compile(rf"""(?is)({_NAME}["']?\s{{0,9}}=\s{{0,9}}|{_NAME}["']\s{{0,9}}:\s{{0,9}})(?:{_VALUE})""")
_NAMED_LINE = re.compile(rf"(?im)({_NAME}:[ \t]{{0,9}})\S+[ \t]{{0,9}}$")  # as YAML and prompts have it
_BEARER = re.compile(r"(?i)\b(authorization:\s*|bearer\s+|basic\s+(?=[\w+/]{12}))\S.*")
_KEYS = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|(?<![\w/+=])(?=[\w/+]*[A-Z])(?=[\w/+]*[a-z])(?=[\w/+]*[0-9])[A-Za-z0-9/+]{40}(?![\w/+=])"
    r"|AGE-SECRET-KEY-1\w+"
    r"|(?s:-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----.*)"
)
# Where PostgreSQL quotes a value out of a row. What the row holds can look like anything, the end of a message
# too, so nothing that follows is kept. Server messages may be translated: `)=(` and the DETAIL of some languages.
_ROW = re.compile(
    r"\)=\("
    r"|Failing row contains \("
    r"|\b(?:DETAIL|DÉTAIL|DETALLE|DETTAGLI|DETALHE|ПОДРОБНОСТИ|SZCZEGÓŁY|CONTEXT|STATEMENT|QUERY) ?: "
    r"|(?:DETAIL|詳細|描述|상세정보)[:：]"  # noqa: RUF001 - the colon that those languages have
    r"|\bCOPY \S+, line \d+"
    r'|: "'
    r'|\bvalue "'
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def scrub(text: str, secrets: Iterable[Secret] = (), *, rows: bool = True) -> str:
    """The text with `...` in the place of each of `secrets`, as it is, %-encoded or escaped; of passwords in URLs
    and behind their names, keys of AWS and age; and, with `rows`, of all that follows where PostgreSQL quotes a row.

    Plain text comes back: UTF-8 can carry it, and no control character but line ends and tabs is in it. To scrub
    one finding's text costs the others nothing: do that first, and what is put together of them without `rows`.
    """
    plain = _without(text, secrets)
    plain = plain[:_LONGEST] + GONE * (len(plain) > _LONGEST)
    plain = plain.encode("utf-8", "backslashreplace").decode()
    plain = _CONTROL.sub("?", plain.replace("\r\n", "\n"))
    found = _ROW.search(plain) if rows else None
    if found:
        plain = plain[: found.start()] + GONE
    for pattern, put in ((_IN_URL, rf"\1{GONE}@"), (_BEARER, rf"\1{GONE}"), (_NAMED, rf"\1{GONE}")):
        plain = pattern.sub(put, plain)
    return _KEYS.sub(GONE, _NAMED_LINE.sub(rf"\1{GONE}", plain))


def _without(text: str, secrets: Iterable[Secret]) -> str:
    """Until none is left: what stands around one that was taken out may be another. Each round is shorter."""
    forms = sorted({form for secret in secrets for form in _forms(secret.reveal())}, key=len, reverse=True)
    long = [form for form in forms if len(form) >= _SHORT]
    while any(form in text for form in long):
        for form in long:
            text = text.replace(form, GONE)
    for form in forms:
        if len(form) < _SHORT:
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", GONE, text)
    return text


def _forms(value: str) -> Iterator[str]:
    for one in _pieces(value):
        data = one.encode("utf-8", "surrogateescape")
        yield from (one, quote(data), quote(data, safe=""), quote_plus(data))
        yield from (json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1], repr(one)[1:-1])
        yield from (one.replace("'", "\\'"), one.replace("'", "''"), _shown(one))


def _shown(one: str) -> str:
    return one.encode("utf-8", "backslashreplace").decode()


def _pieces(value: str) -> Iterator[str]:
    """The secret, its lines, and if it is a URL whatever of it may be secret: all that is not scheme and host."""
    stripped = value.strip()
    if stripped:
        yield stripped
    yield from (line for line in stripped.splitlines() if len(line) >= 2 * _SHORT)
    if "://" not in stripped:
        return
    _, _, rest = stripped.partition("://")
    try:
        url = urlsplit(f"//{rest}")
    except ValueError:
        return
    user, _, password = url.netloc.rpartition("@")[0].partition(":")
    parts = [password, *url.path.split("/"), *(given for _, given in parse_qsl(url.query))]
    # Of Slack and its like the first token stands where others have the host.
    parts += [user, url.netloc.rpartition("@")[2]] if _is_token(user or url.netloc) else []
    for part in parts:
        if len(part) >= _SHORT or part == password != "":
            yield from {part, unquote(part)}


def _is_token(text: str) -> bool:
    """Long, and with digits among letters: not the name of a person or a host."""
    return len(text) >= 16 and "." not in text and bool(re.search(r"\d", text)) and bool(re.search("[A-Za-z]", text))
