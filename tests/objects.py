"""Objects in a store of any kind: written whole, read whole, listed by name."""

from pgproof.stores.store import Store


def put(store: Store, name: str, data: bytes = b"x", *, replace: bool = False) -> None:
    with store.create(name, replace=replace) as sink:
        sink.write(data)


def get(store: Store, name: str) -> bytes:
    with store.open(name) as stream:
        return stream.read()


def names(store: Store, prefix: str = "") -> list[str]:
    return [entry.name for entry in store.list(prefix)]
