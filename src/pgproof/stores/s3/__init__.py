"""S3 and what speaks it, as a store."""

from pgproof.stores.s3.place import CLASSES, MOST_PARTS, Bucket, Keys, Place

__all__ = ["CLASSES", "MOST_PARTS", "Bucket", "Keys", "Place"]
