"""The container that this process runs in, if any: it must not stop itself."""

import platform
import re
from functools import cache
from pathlib import Path

from pgproof.docker.nouns import Container

_SHORT_ID = 12
_MOUNTS = re.compile(r"/containers/([0-9a-f]{64})/")  # where the engine keeps resolv.conf and its like of a container


def is_own(container: Container) -> bool:
    """By the files that the engine mounts, and by the host name, which is the beginning of the id unless told."""
    named = len(platform.node()) >= _SHORT_ID and container.id.startswith(platform.node())
    return named or container.id in _mounted()


@cache
def _mounted() -> frozenset[str]:
    try:
        return frozenset(_MOUNTS.findall(Path("/proc/self/mountinfo").read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        return frozenset()
