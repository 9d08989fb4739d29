"""Push one file into an S3 store as pgproof does, from a stream; without the reading back that `copy` adds."""

import sys
from pathlib import Path

from pgproof.secret import Secret
from pgproof.stores.s3 import Keys, Place
from pgproof.stores.s3.store import S3Store


def main() -> int:
    endpoint, bucket, access, secret, file, name = sys.argv[1:7]
    keys = Keys(Secret(access), Secret(secret))
    store = S3Store(Place(bucket, "", endpoint, "us-east-1", path_style=True, keys=keys))
    with Path(file).open("rb") as stream, store.create(name, replace=True) as sink:
        while data := stream.read(1 << 20):
            sink.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
