"""The service as a piece of a Compose file (compose-spec)."""

import json
import re

from pgproof.schedule.written.setup import MARK, STATE, Setup, Written, check_setup

_HEAD = """\
# A host that is called localhost or 127.0.0.1 in the configuration is the container itself in here: name the service.
# The image needs pgproof and PostgreSQL's programs of the servers' versions.
"""
_HARDENED = """\
    restart: unless-stopped
    stop_grace_period: 90s
    read_only: true
    cap_drop: [ALL]
    # For an image that runs as root: a drill's server runs as nobody. Cutting off its network would take SYS_ADMIN too;
    # without, the record of a drill says that it was not cut off.
    cap_add: [CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID]
    security_opt: ["no-new-privileges:true"]
"""


def compose(setup: Setup, version: str) -> Written:
    """The file; everything that the configuration names lies in the container where it lies here. Raises UsageError.

    A drill needs room for the whole database, below /var/tmp: a volume.
    """
    check_setup(setup)
    secrets = {path: _name(path, number) for number, path in enumerate(setup.secrets)}
    lines = [MARK, _HEAD + "services:", "  pgproof:", f"    image: {_text(f'pgproof:{version}')}"]
    lines += [f"    command: [run, --config, {_text(setup.config)}]", _HARDENED.rstrip()]
    lines += ["    environment:", f"      PGPROOF_STATE: {_text(STATE)}", "      TMPDIR: /var/tmp"]
    lines += [f"      TZ: {_text(setup.zone)}"] if setup.zone else []
    lines += [f"      {name}: {_required(name)}" for name in setup.variables]
    lines += ["    tmpfs: [/tmp]", "    volumes:", f"      - {_text(f'state:{STATE}')}", "      - drills:/var/tmp"]
    lines += [line for path in (setup.config, *setup.reads) for line in _bind(path, writable=False)]
    lines += [line for path in setup.writes for line in _bind(path, writable=True)]
    lines += ["    secrets:"] if secrets else []
    lines += [
        line for path, name in secrets.items() for line in (f"      - source: {name}", f"        target: {_text(path)}")
    ]
    lines += ["volumes:", "  state:", "  drills:"]
    lines += ["secrets:"] if secrets else []
    lines += [line for path, name in secrets.items() for line in (f"  {name}:", f"    file: {_text(path)}")]
    return Written("compose.yaml", "\n".join(lines) + "\n")


def _bind(path: str, *, writable: bool) -> list[str]:
    """In the long form: the short one has no way to write a colon."""
    lines = ["      - type: bind", f"        source: {_text(path)}", f"        target: {_text(path)}"]
    return lines if writable else [*lines, "        read_only: true"]


def _name(path: str, number: int) -> str:
    return re.sub(r"[^a-z0-9]+", "_", path.rpartition("/")[2].lower()).strip("_") + f"_{number}"


def _required(name: str) -> str:
    """Taken from the environment of Compose itself, which says so when it is not there."""
    return json.dumps(f"${{{name}:?set it for Compose}}")


def _text(text: str) -> str:
    """A YAML string; what JSON writes is one. Compose takes $$ for a dollar."""
    return json.dumps(text, ensure_ascii=False).replace("$", "$$")
