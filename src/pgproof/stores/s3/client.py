"""A client of S3 by boto3, and what it says in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import boto3
import urllib3.exceptions
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from pgproof.errors import AlreadyExists, ConfigError, Frozen, NotFound, PgproofError, Refused, Unreachable
from pgproof.stores.s3.place import Place

Client = Any  # boto3 makes its clients' classes as it runs, and ships no types
NETWORK = (ConnectionError, HTTPClientError, IncompleteReadError, urllib3.exceptions.HTTPError, OSError)
_ATTEMPTS = 6  # of one request, with the backoff and jitter of botocore's standard mode
_FIRST_ATTEMPTS = 3  # while the server has never answered: its address may be wrong, and somebody waits
_CONNECT_SECONDS, _READ_SECONDS = 8, 60


def connect(place: Place, *, connections: int = 10, anonymous: bool = False) -> Client:
    """A client for `place`; nothing is asked of the server yet. Raises ConfigError."""
    # Checksum headers only where S3 demands them: other providers refuse those that newer boto3 adds. What is sent
    # is hashed all the same: its SHA-256 is part of the signature (SigV4, x-amz-content-sha256).
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=connections,
        tcp_keepalive=True,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"payload_signing_enabled": True, "addressing_style": "path" if place.path_style else "auto"},
        **({"signature_version": UNSIGNED} if anonymous else {}),
    )
    keys = {} if place.keys is None or anonymous else _keys(place)
    with translated("", place):
        session = boto3.session.Session(profile_name=place.profile or None)
        client = session.client(
            "s3",
            endpoint_url=place.endpoint or None,
            region_name=place.region or session.region_name or "us-east-1",
            verify=str(place.ca_file) if place.ca_file else None,
            config=config,
            **keys,
        )
    client.meta.events.register_first("needs-retry.s3", _Patience(place).look)
    return client


class _Patience:
    """How often is asked again, where we know better than botocore's standard mode. One for each client."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._answered = False

    def look(
        self,
        response: tuple[Any, Any] | None,
        attempts: int,
        caught_exception: Exception | None,
        operation: Any,
        **_: object,
    ) -> None:
        """Called by botocore behind each attempt. It decides itself, unless this raises."""
        if response and operation.name == "HeadBucket":
            self._refuse_redirection(response[0])
        self._answered = self._answered or response is not None
        silent = isinstance(caught_exception, ReadTimeoutError)
        if not self._answered and caught_exception and (silent or attempts >= _FIRST_ATTEMPTS):
            raise caught_exception

    def _refuse_redirection(self, answer: Any) -> None:
        """To a redirection botocore asks, by HeadBucket, for the bucket's region; to one of that again, for ever."""
        if answer.status_code in (301, 302, 307) and "x-amz-bucket-region" not in answer.headers:
            raise strange(self._place, f"it redirects to {answer.headers.get('location', 'nowhere')}")


def _keys(place: Place) -> dict[str, str]:
    assert place.keys is not None
    given = {"aws_access_key_id": place.keys.access.reveal(), "aws_secret_access_key": place.keys.secret.reveal()}
    return given | ({"aws_session_token": place.keys.token.reveal()} if place.keys.token else {})


def code(error: ClientError) -> str:
    """The error code that the server gave; of an answer without a body its HTTP status in digits."""
    return str(error.response.get("Error", {}).get("Code", ""))


def unsupported(error: ClientError) -> bool:
    """Whether the provider does not know the request, or a header of it."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status in (405, 501) or code(error) in ("NotImplemented", "MethodNotAllowed", "XNotImplemented")


@contextmanager
def translated(name: str, place: Place) -> Iterator[None]:
    """What boto3 raises about the object `name`, as our errors."""
    try:
        yield
    except ClientError as error:
        _refused(error, name, place)
    except ProfileNotFound as error:
        hint = "name one that ~/.aws/config or ~/.aws/credentials has"
        raise ConfigError(f"there is no AWS profile {place.profile!r}", hint=hint) from error
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        raise ConfigError(f"{place.text}: no credentials are found for it", hint=_CREDENTIALS) from error
    except (ParamValidationError, ValueError) as error:
        hint = "check the store's url, endpoint and region"
        raise ConfigError(f"{place.text} cannot be a place in S3: {_short(str(error))}", hint=hint) from error
    except ResponseParserError as error:
        raise strange(place, str(error)) from error
    except (BotoCoreError, *NETWORK) as error:
        hint = "check endpoint, network and certificates; the next run catches up"
        raise Unreachable(f"{place.text} does not answer: {_short(str(error))}", hint=hint) from error


def strange(place: Place, text: str) -> Unreachable:
    """For an answer that S3 would not give, though it looks like success: a proxy's page is one, too."""
    hint = "check the endpoint: is it a web page, or a proxy's login?"
    return Unreachable(f"{place.text} does not answer as S3 does: {_short(text)}", hint=hint)


def _refused(error: ClientError, name: str, place: Place) -> NoReturn:
    said = code(error)
    if said in ("NoSuchKey", "404", "NotFound", "NoSuchVersion"):
        raise NotFound(f"{name} is not in the store", hint="see `pgproof list`") from error
    if said in ("PreconditionFailed", "412", "ConditionalRequestConflict", "409"):
        raise AlreadyExists(f"{name} is in the store already", hint="nothing stored is overwritten") from error
    if (known := _KNOWN.get(said)) is not None:
        kind, text, hint = known
        region = error.response.get("Error", {}).get("Region") or "its own"
        raise kind(text.format(place=place.text, name=name), hint=hint.format(region=region)) from error
    message = error.response.get("Error", {}).get("Message", "")
    raise Unreachable(
        f"{place.text}: {name}: {said} {_short(message)}".rstrip(), hint="those are the provider's words"
    ) from error


def _short(text: str) -> str:
    return " ".join(text.split())[:300]


_CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, a role of the machine, or access_key and secret_key"
)
_KEYS = (Unreachable, "{place}: the credentials are not accepted", _CREDENTIALS)
_EXPIRED = (Unreachable, "{place}: the credentials have expired", "renew them; the next run catches up")
_REGION = (ConfigError, "{place}: the bucket is in another region", 'write region = "{region}" for this store')
_DENIED = (
    Refused,
    "{place}: the credentials do not allow this on {name}",
    "docs/offsite.md has the policy that a backup needs",
)
_FULL = (Unreachable, "the store is full: {place} takes no more", "raise its quota; `pgproof prune` shows what may go")
_CLOCK = (
    Unreachable,
    "{place}: this machine's clock differs from the store's by more than 15 minutes",
    "set the clock: chronyc tracking, timedatectl",
)
_FROZEN = (
    Frozen,
    "{name} lies in an archive and cannot be read yet",
    "`pgproof verify`, `prove` and `restore` ask for it and wait",
)
_BUCKET = (ConfigError, "{place}: there is no such bucket", "check the url and the endpoint, or make the bucket")
_KNOWN: dict[str, tuple[type[PgproofError], str, str]] = {
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthFailure"), _KEYS),
    **dict.fromkeys(("ExpiredToken", "TokenRefreshRequired", "ExpiredTokenException"), _EXPIRED),
    **dict.fromkeys(("PermanentRedirect", "AuthorizationHeaderMalformed", "301"), _REGION),
    **dict.fromkeys(("AccessDenied", "403", "AllAccessDisabled", "AccountProblem"), _DENIED),
    **dict.fromkeys(("QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507", "StorageCapExceeded"), _FULL),
    "RequestTimeTooSkewed": _CLOCK,
    "InvalidObjectState": _FROZEN,
    "NoSuchBucket": _BUCKET,
}
