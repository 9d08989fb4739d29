"""A bucket in S3, or in what speaks it, as a store."""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, BinaryIO, cast

from botocore.exceptions import ClientError

from pgproof.errors import NotFound, PgproofError, Refused, Unreachable
from pgproof.finding import Finding
from pgproof.stores.names import MARKER, checked, is_name
from pgproof.stores.s3.client import Client, code, connect, strange, translated
from pgproof.stores.s3.download import Download
from pgproof.stores.s3.place import ARCHIVES, TIERS, Place
from pgproof.stores.s3.upload import Manner, Upload
from pgproof.stores.store import Entry, Store, Thaw
from pgproof.stream.sink import Sink

# What comes and goes is not held by object lock: it would keep an old version for each time it was written.
_PASSING = re.compile(r"(.*/)?(lock|kept)\.json")
_CANARY = re.compile(r"canary-[^/]*")
_CANARY_HELD = timedelta(hours=1)  # locked as backups are, or doctor could not tell; but not for as long
_SHALLOW = {"Expedited": "1 to 5 minutes", "Standard": "3 to 5 hours", "Bulk": "5 to 12 hours"}
_DEEP = {"Standard": "up to 12 hours", "Bulk": "up to 48 hours"}
_WAITS = {  # S3 User Guide, "Understanding archive retrieval options"; what a class does not offer, S3 refuses
    "GLACIER": _SHALLOW,
    "ARCHIVE_ACCESS": _SHALLOW,
    "DEEP_ARCHIVE": _DEEP,
    "DEEP_ARCHIVE_ACCESS": _DEEP,
}


class S3Store(Store):
    """Objects below a prefix. Listing, reading and writing need no more rights than docs/offsite.md names."""

    def __init__(self, place: Place, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.place = place
        self._clock = clock

    @cached_property
    def _client(self) -> Client:
        return connect(self.place)

    def create(self, name: str, *, replace: bool = False) -> Sink:
        held = not _PASSING.fullmatch(checked(name)) and self.place.lock
        lock_for = _CANARY_HELD if _CANARY.fullmatch(name) else self.place.lock_for
        return Upload(self._client, Manner(self.place, name, replace, self._clock() + lock_for if held else None))

    def open(self, name: str, start: int = 0, length: int | None = None) -> BinaryIO:
        return cast(BinaryIO, Download(self._client, self.place, checked(name), start, length))

    def stat(self, name: str) -> Entry:
        found = self._head(checked(name))
        if "LastModified" not in found:
            raise strange(self.place, f"{name} has no date")
        return _entry(name, found["ContentLength"], found["LastModified"])

    def list(self, prefix: str = "") -> Iterator[Entry]:
        found: dict[str, Entry] = {}  # some servers list twice what is replaced just then
        with translated(prefix, self.place):
            for page in self._pages("list_objects_v2", prefix):
                for one in page.get("Contents", ()):
                    name = self._name(one)
                    if is_name(name) and name != MARKER:
                        found[name] = _entry(name, one["Size"], one["LastModified"])
        yield from (found[name] for name in sorted(found))

    def delete(self, name: str, *, for_good: bool = False) -> None:
        key = self._object(checked(name))
        covered = False
        try:
            with contextlib.suppress(NotFound), translated(name, self.place):
                covered = bool(self._client.delete_object(**key).get("DeleteMarker"))
        except Refused as error:
            raise self._held(name) or error from error
        if for_good:
            self._destroy(name, covered=covered)

    def _held(self, name: str) -> Refused | None:
        """Until when object lock holds what may not be deleted; None where it does not, or we may not know."""
        with contextlib.suppress(PgproofError):
            until = self._head(name).get("ObjectLockRetainUntilDate")
            if until and until > self._clock():
                text = f"{self.place.text}: object lock holds {name} until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
                return Refused(text, hint="`pgproof prune` takes it after that")
        return None

    def _destroy(self, name: str, *, covered: bool) -> None:
        """All versions, by every right that we have: who asks for this wants to know whether it can be done."""
        versions = self._versions(name)
        if covered and not versions:
            raise Refused(f"{self.place.text}: older versions of {name} stay", hint="the credentials may not see them")
        bypass = {"BypassGovernanceRetention": True} if self.place.lock == "governance" else {}
        for version in versions:
            with contextlib.suppress(NotFound), translated(name, self.place):
                self._client.delete_object(**self._object(name), VersionId=version, **bypass)

    def sweep(self, before: datetime) -> Sequence[str]:
        """Uploads that were begun before `before`, got no part since, and never finished; their parts cost money."""
        old = (one for one in self._dangling() if one["Initiated"] < before and not self._goes_on(one, before))
        return sorted(self._name(one) for one in old if self._abort(one))

    def thaw(self, names: Iterable[str]) -> Thaw | None:
        frozen = []
        for name in names:
            with contextlib.suppress(NotFound):  # what is gone is not waited for; whoever reads it says so
                if _is_frozen(head := self._head(name)):
                    frozen.append((name, head))
        for name, head in frozen:
            if "ongoing-request" not in head.get("Restore", ""):
                self._ask_back(name, _archive(head))
        if not frozen:
            return None
        kind = max((_archive(head) for _, head in frozen), key=lambda one: _WAITS[one] is _DEEP)  # the slowest
        speed = self._speed(kind)
        return Thaw(len(frozen), f"{speed} retrieval from {kind} takes {_WAITS[kind][speed]}")

    def remarks(self) -> Sequence[Finding]:
        return [*self._dangling_remarks(), *self._public(), *self._versioning(), *self._protection()]

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()

    # -- inside -----------------------------------------------------------------------------------

    def _object(self, name: str) -> dict[str, str]:
        return {"Bucket": self.place.bucket, "Key": self.place.key(name)}

    def _name(self, listed: dict[str, Any]) -> str:
        return str(listed["Key"]).removeprefix(self.place.key(""))

    def _head(self, name: str) -> dict[str, Any]:
        with translated(name, self.place):
            return cast(dict[str, Any], self._client.head_object(**self._object(name)))

    def _pages(self, question: str, prefix: str) -> Iterator[dict[str, Any]]:
        paginator = self._client.get_paginator(question)
        for page in paginator.paginate(Bucket=self.place.bucket, Prefix=self.place.key(prefix)):
            if "IsTruncated" not in page:  # else what is no listing at all would be one of an empty store
                raise strange(self.place, "a listing does not say whether it is whole")
            yield page

    def _versions(self, name: str) -> Sequence[str]:
        key, found = self.place.key(name), []
        try:
            with translated(name, self.place):
                for page in self._pages("list_object_versions", name):
                    every = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
                    found += [one["VersionId"] for one in every if one["Key"] == key]
        except PgproofError:
            return []  # a provider without versions, or no right to see them: nothing more can be destroyed
        return found

    def _dangling(self) -> Sequence[dict[str, Any]]:
        """Unfinished uploads below the prefix; none where the provider or the rights do not tell."""
        try:
            with translated("", self.place):
                pages = self._pages("list_multipart_uploads", "")
                return [one for page in pages for one in page.get("Uploads", ()) if is_name(self._name(one))]
        except PgproofError:
            return []

    def _goes_on(self, one: dict[str, Any], before: datetime) -> bool:
        """Whether a part came after `before`: a large backup on a slow line takes more than a day. No right to see
        parts, or none of them told, is no.
        """
        upload = {"Bucket": self.place.bucket, "Key": one["Key"], "UploadId": one["UploadId"]}
        with contextlib.suppress(PgproofError), translated(self._name(one), self.place):
            pages = self._client.get_paginator("list_parts").paginate(**upload)
            return any(part["LastModified"] >= before for page in pages for part in page.get("Parts", ()))
        return False

    def _abort(self, one: dict[str, Any]) -> bool:
        """Give an upload up. False where that is not allowed, or it is listed still and has gone."""
        try:
            with translated(one["Key"], self.place):
                self._client.abort_multipart_upload(Bucket=self.place.bucket, Key=one["Key"], UploadId=one["UploadId"])
        except (NotFound, Refused):
            return False
        except Unreachable as error:
            if isinstance(error.__cause__, ClientError) and code(error.__cause__) == "NoSuchUpload":
                return False
            raise
        return True

    def _speed(self, kind: str) -> str:
        return self.place.thaw if self.place.thaw in _WAITS[kind] else "Standard"

    def _ask_back(self, name: str, kind: str) -> None:
        """Out of INTELLIGENT_TIERING's archives it comes for good: S3 refuses a request that says for how many days."""
        request: dict[str, Any] = {"GlacierJobParameters": {"Tier": self._speed(kind)}}
        if kind in ARCHIVES:
            request["Days"] = self.place.thaw_days
        with translated(name, self.place):
            try:
                self._client.restore_object(**self._object(name), RestoreRequest=request)
            except ClientError as error:
                if code(error) != "RestoreAlreadyInProgress":
                    raise

    def _dangling_remarks(self) -> Iterator[Finding]:
        if count := len(self._dangling()):
            text = f"{count} uploads were begun and not finished; their parts cost money"
            yield _remark("dangling-uploads", "info", self, text, "backup and prune sweep those older than a day")

    def _public(self) -> Iterator[Finding]:
        """Whether anybody may read: the marker is asked for without credentials."""
        try:
            with contextlib.closing(connect(self.place, anonymous=True)) as nobody, translated(MARKER, self.place):
                nobody.head_object(**self._object(MARKER))
        except PgproofError:
            return
        hint = "block public access to the bucket now: backups hold every secret of the database"
        yield _remark("public", "critical", self, "anybody may read this bucket without credentials", hint)

    def _versioning(self) -> Iterator[Finding]:
        """Whether what is written over stays; nothing where the provider or the rights do not tell."""
        try:
            with translated("", self.place):
                found = self._client.get_bucket_versioning(Bucket=self.place.bucket)
        except PgproofError:
            return
        if found.get("Status") != "Enabled":
            text = "the bucket keeps no versions: whoever may write can write over what lies there"
            yield _remark("unversioned", "warning", self, text, "switch versioning on, where the provider has it")

    def _protection(self) -> Iterator[Finding]:
        try:
            with translated("", self.place):
                found = self._client.get_object_lock_configuration(Bucket=self.place.bucket)
        except Refused:
            if self.place.lock:
                text = "the credentials may not see whether the bucket has object lock"
                yield _remark("object-lock", "warning", self, text, "allow s3:GetBucketObjectLockConfiguration")
            return
        except PgproofError:
            found = {}
        enabled = found.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"
        if self.place.lock and not enabled:
            text = "the configuration asks for object lock, and the bucket has none"
            hint = "object lock is chosen when a bucket is made; take `lock` out meanwhile"
            yield _remark("object-lock", "critical", self, text, hint)
        elif enabled and not self.place.lock:
            text = "the bucket has object lock, and the configuration makes no use of it"
            yield _remark("object-lock", "info", self, text, "see `lock` in docs/offsite.md")


def _entry(name: str, size: int, modified: datetime) -> Entry:
    """Times in whole seconds: HEAD has no more, whatever a listing says."""
    return Entry(name, int(size), modified.astimezone(UTC).replace(microsecond=0))


def _is_frozen(head: dict[str, Any]) -> bool:
    """Whether an object must be asked back before it can be read; while its copy is there it can be."""
    return bool(_archive(head)) and 'ongoing-request="false"' not in head.get("Restore", "")


def _archive(head: dict[str, Any]) -> str:
    """The archive that an object lies in, "" for none: its class is one, or it says itself in which tier it is."""
    kind = head.get("ArchiveStatus") or head.get("StorageClass", "")
    return kind if kind in (*ARCHIVES, *TIERS) else ""


def _remark(code_: str, level: Any, store: S3Store, text: str, hint: str) -> Finding:
    return Finding(code_, level, store.place.text, text, hint)
