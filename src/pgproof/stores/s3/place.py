"""Where an S3 store is, how to get in, and how its objects are to be kept."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pgproof.secret import Secret

# Classes from which an object must be asked back before it can be read (S3 User Guide, "Restoring an archived object").
ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
TIERS = ("ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS")  # the archives within INTELLIGENT_TIERING; HEAD tells which, if any
MOST_PARTS = 10_000  # of one upload, at AWS
CLASSES = ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", *ARCHIVES)


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials given by the configuration; without them the standard chain of AWS's own tools is asked."""

    access: Secret
    secret: Secret
    token: Secret | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and a prefix at an endpoint ("" is AWS's own), and how objects are kept there.

    `storage_class`, `encryption` (AES256 or aws:kms) and `tags` go with every upload; `lock` holds what is written
    for `lock_for`. `most_parts` is how many parts of one upload the provider takes (AWS 10,000, some 1,000). What is
    asked back from an archive comes by `thaw` and can be read for `thaw_days`. `profile` is one of AWS's own tools.
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    path_style: bool = False
    ca_file: Path | None = None
    profile: str = ""
    storage_class: str = ""
    encryption: Literal["", "AES256", "aws:kms"] = ""
    kms_key: str = ""
    lock: Literal["", "governance", "compliance"] = ""
    lock_for: timedelta = timedelta()
    tags: tuple[tuple[str, str], ...] = ()
    most_parts: int = MOST_PARTS
    thaw: Literal["Standard", "Bulk", "Expedited"] = "Standard"
    thaw_days: int = 7

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True, slots=True)
class Place(Bucket):
    """A bucket, and the keys that open it."""

    keys: Keys | None = None

    @property
    def text(self) -> str:
        """The place for people, and as what it is remembered: without credentials."""
        return f"{self.url}?endpoint={self.endpoint}" if self.endpoint else self.url

    def key(self, name: str) -> str:
        """The object's key in the bucket."""
        return f"{self.prefix}/{name}" if self.prefix else name
