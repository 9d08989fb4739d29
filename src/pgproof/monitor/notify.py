"""Sending: a message to one channel by Apprise, and pings to whoever waits for them. Neither ever raises for
a channel that is down.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException, HTTPMessage
from typing import IO, TYPE_CHECKING, Literal, Self
from urllib.error import HTTPError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pgproof.alerting import scrub
from pgproof.config import Alerts, Reference
from pgproof.errors import ConfigError, Unreachable
from pgproof.finding import Level
from pgproof.secret import Secret
from pgproof.stores.deadline import within

if TYPE_CHECKING:
    from apprise import NotifyBase

Ping = Literal["start", "success", "fail"]
SEND_SECONDS = 30.0  # for one message to one channel, however slowly it answers
PING_SECONDS = 10.0  # for one attempt
PING_BYTES = 10_000  # of a ping's text: what healthchecks keeps (https://healthchecks.io/docs/attaching_logs/)
_PAUSES = (1.0, 3.0)  # seconds before the second and the third attempt
_LISTED = "https://github.com/caronc/apprise/wiki lists what there is, such as mailto://, slack:// and json://"


@dataclass(frozen=True, slots=True)
class Channel:
    """One of alerts.urls. `name` is its reference in words, which is no secret; `line` is where it stands."""

    name: str
    line: str
    url: Secret


@dataclass(frozen=True, slots=True)
class Message:
    """A line and a plain text. The level chooses the colour or picture where a channel has such."""

    title: str
    body: str
    level: Level = "info"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a channel accepted a message, or a ping was answered; else why not, without secrets."""

    name: str
    ok: bool
    text: str = ""


def check_urls(alerts: Alerts) -> tuple[Channel, ...]:
    """The channels. Raises ConfigError, with the line of the configuration and never the URL, for what Apprise does
    not understand. Whether anybody answers there is not asked.
    """
    channels, wrong = usable(alerts)
    for error in wrong:
        raise error
    return channels


def usable(alerts: Alerts) -> tuple[tuple[Channel, ...], tuple[ConfigError, ...]]:
    """The channels that can be used now, and what keeps the others from it: each is one's own trouble."""
    found: list[Channel] = []
    wrong: list[ConfigError] = []
    for name, reference in _named(alerts.urls).items():
        try:
            url = Secret(reference.resolve().reveal().strip())
            _plugin(url, reference.path)
        except ConfigError as error:
            wrong.append(error)
        else:
            found.append(Channel(name, reference.path, url))
    return tuple(found), tuple(wrong)


def _named(references: Sequence[Reference]) -> dict[str, Reference]:
    """Each by a name of its own, whether or not the others can be used: of commands only the first word is shown."""
    found: dict[str, Reference] = {}
    for one in references:
        name = one.shown()
        found[f"{name} ({one.path})" if name in found else name] = one
    return found


def check_ping(reference: Reference) -> Secret:
    """The URL to ping. Raises ConfigError, without the URL, for what is none of HTTP."""
    text = reference.resolve().reveal().strip()
    try:
        url = urlsplit(text)
        fit = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and text.isprintable()
    except ValueError:
        fit = False
    if not fit or " " in text:
        hint = "give the address that the watching service shows, such as https://hc-ping.com/..."
        raise ConfigError(f"{reference.path}: what is there is not an http or https URL", hint=hint)
    return Secret(text)


def send(channel: Channel, message: Message, secrets: Sequence[Secret] = (), seconds: float = SEND_SECONDS) -> Outcome:
    """Hand a message over to a channel. That it accepted it is all that can be known here; see `pgproof alert --test`.

    Redirects are not followed: what is sent on would arrive without its text and still be answered with 200.
    """
    known = (*secrets, channel.url)
    clean = Message(scrub(message.title, known, rows=False), scrub(message.body, known, rows=False), message.level)
    try:
        said = within(seconds, f"alert channel {channel.name}", partial(_send, channel, clean))
    except Unreachable:
        said = f"no answer within {seconds:g} s"
    except Exception as error:  # noqa: BLE001 - whatever a hundred plugins may raise, the other channels go on
        said = f"a fault in the sending itself: {type(error).__name__}"
    return Outcome(channel.name, not said, scrub(said, known))


def _send(channel: Channel, message: Message) -> str:
    """Why it was not accepted; nothing if it was."""
    from apprise import NotifyFormat, NotifyType  # noqa: PLC0415 - an extra, and half a second

    plugin = _plugin(channel.url, channel.line)
    kinds: dict[Level, NotifyType] = {"critical": NotifyType.FAILURE, "warning": NotifyType.WARNING}
    kind = kinds.get(message.level, NotifyType.SUCCESS if message.level == "ok" else NotifyType.INFO)
    with _Listening() as heard:
        if plugin.notify(title=message.title, body=message.body, notify_type=kind, body_format=NotifyFormat.TEXT):
            return ""
    return heard.last or "it was not accepted"


def _plugin(url: Secret, line: str) -> "NotifyBase":
    """What Apprise makes of a URL. Raises ConfigError."""
    try:
        from apprise import Apprise, AppriseAsset, OverflowMode  # noqa: PLC0415 - as above
    except ImportError as error:
        hint = "install it: pip install 'pgproof[alerts]'"
        raise ConfigError(f"{line}: alerts need the package {error.name}", hint=hint) from error
    asset = AppriseAsset(
        app_id="pgproof",
        app_desc="pgproof",
        async_mode=False,
        http_redirects=False,
        pem_autogen=False,
        pgp_autogen=False,
    )
    with _Listening():
        one = not any(character.isspace() for character in url.reveal())
        plugin = Apprise.instantiate(url.reveal(), asset=asset) if one else None
    if plugin is None:
        raise ConfigError(f"{line}: what is there is not one URL that Apprise understands", hint=_LISTED)
    if plugin.overflow_mode == OverflowMode.UPSTREAM:
        plugin.overflow_mode = OverflowMode.TRUNCATE  # one message, shortened, rather than ten or a refusal
    return plugin


class _Listening(logging.Handler):
    """What Apprise logs in this thread: kept here, and not printed, as URLs may stand in it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.last = record.getMessage()

    def __enter__(self) -> Self:
        logger = logging.getLogger("apprise")
        logger.propagate = False
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)


# -- pings ------------------------------------------------------------------------------------------


def ping(
    url: Secret,
    kind: Ping,
    text: str = "",
    secrets: Sequence[Secret] = (),
    *,
    seconds: float = PING_SECONDS,
    pauses: Sequence[float] = _PAUSES,
) -> Outcome:
    """Tell whoever watches from outside, as healthchecks does it: POST to URL, URL/start or URL/fail, with a text.

    `seconds` for each attempt; `pauses` before each further one, which only what may pass is worth (408, 429, 5xx,
    no answer). https://healthchecks.io/docs/http_api/
    """
    known = (*secrets, url)
    data = scrub(text, known).encode()[:PING_BYTES].decode(errors="ignore").encode()
    target = _target(url.reveal(), kind)
    said = ""
    for pause in (0.0, *pauses):
        time.sleep(pause)
        try:
            status = within(seconds, "ping", partial(_post, target, data, seconds))
            if 200 <= status < 300:
                return Outcome("ping", ok=True)
            said = _refused(status)
            if not (status in (408, 429) or status >= 500):
                break
        except (Unreachable, TimeoutError):
            said = f"no answer within {seconds:g} s"
        except (OSError, HTTPException, ValueError) as error:
            said = str(getattr(error, "reason", "") or getattr(error, "strerror", "") or type(error).__name__)
    return Outcome("ping", ok=False, text=scrub(said, known))


def _target(url: str, kind: Ping) -> str:
    """The suffix goes behind the path and before a query."""
    split = urlsplit(url)
    suffix = "" if kind == "success" else f"/{kind}"
    return urlunsplit(split._replace(path=(split.path.rstrip("/") + suffix) if suffix else split.path, fragment=""))


def _refused(status: int) -> str:
    if 300 <= status < 400:
        return f"it answers {status} and points elsewhere: give the URL that it points to"
    return f"it answers {status}"


class _NoRedirect(HTTPRedirectHandler):
    """A page to log in, say, would answer 200 to anything."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        del req, fp, code, msg, headers, newurl
        return None


def _post(url: str, data: bytes, seconds: float) -> int:
    """The HTTP status. Raises OSError, HTTPException."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("not http")
    request = Request(url, data, {"Content-Type": "text/plain; charset=utf-8", "User-Agent": "pgproof"})  # noqa: S310 - http only, as of the lines above
    try:
        with build_opener(_NoRedirect).open(request, timeout=seconds) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code
