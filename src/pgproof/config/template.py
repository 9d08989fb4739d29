"""The commented pgproof.toml that `pgproof init` writes."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pgproof.config.read import FILE
from pgproof.config.references import is_reference
from pgproof.config.settings import Docker
from pgproof.config.urls import check_url
from pgproof.errors import ConfigError
from pgproof.manifest import check_source_name

_BARE = re.compile(r"[a-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Draft:
    """A source to be written down: `password` a reference, `keycloak` whether to ask Keycloak's questions, `notes`
    comments to stand before it.
    """

    name: str
    url: str
    password: str | None = None
    keycloak: bool = False
    docker: Docker | None = None
    notes: tuple[str, ...] = ()


_EXAMPLE = (Draft("keycloak", "postgresql://backup@127.0.0.1:5432/keycloak"),)


def template(sources: Sequence[Draft] = (), *, store: str = "backups") -> str:
    """A configuration for these sources, or for an example. Raises UsageError or ConfigError."""
    written = "\n".join(_source(one) for one in sources or _EXAMPLE)
    return f"{_HEAD}\n{written}\n{_TAIL}".replace('url = "backups"', f"url = {_text(store)}")


def _source(draft: Draft) -> str:
    name, url = check_source_name(draft.name), draft.url
    if not is_reference(url):
        check_url(url, f"sources.{name}.url")
    if not url.isprintable():
        raise ConfigError(f"sources.{name}.url has characters that cannot be shown", hint=f"edit {FILE} by hand")
    key = name if _BARE.fullmatch(name) else json.dumps(name)
    lines = _SOURCE_NOTES
    if draft.password:
        lines = lines.replace('# password = "file:/run/secrets/database" ', f"password = {_text(draft.password)}", 1)
    if draft.keycloak:
        lines = lines.replace("# checks   =", "checks     =", 1)
    if draft.docker:
        lines = f"{lines[: lines.index('# docker   =')]}{_docker(draft.docker)}"
    said = "".join(f"# {note}\n" for note in draft.notes)
    return f"{said}[sources.{key}]\nurl = {_text(url)}\n{lines}"


def _docker(docker: Docker) -> str:
    words = [f"container = {_text(docker.container)}"]
    words += [f"volume = {_text(docker.volume)}"] if docker.volume else []
    words += [f"services = [{', '.join(map(_text, docker.services))}]"] if docker.services else []
    kinds = (
        '# kinds    = ["logical", "volume"]         # the volume too, for which its containers are stopped for a moment'
    )
    return f"{kinds}\ndocker     = {{ {', '.join(words)} }}\n"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


_HEAD = """\
# pgproof's configuration. A backup counts only once it has been restored.
#
# Passwords and passphrases never stand in this file. Say where they are to be found:
#   "env:NAME"       the environment variable NAME
#   "file:PATH"      a file that only its owner may read (chmod 600)
#   "container:NAME" what a container was made with (POSTGRES_PASSWORD or its file), from the engine
#   "exec:COMMAND"   what a command prints, such as "exec:pass show backup"
#
# `pgproof doctor` tells whether everything here can work.

# How often there should be a backup and a drill, of which `pgproof status` warns when they are late, and how long
# to keep. `pgproof run` runs them; cron or systemd can. Any line below overrides the profile.
#   high-availability   a backup daily, a drill weekly, kept 90 days
#   production          a backup daily, a drill monthly, kept 30 days
#   development         everything on demand, kept 14 days
profile = "production"

# What to protect: one table for each database. The name becomes a folder in every store."""

_SOURCE_NOTES = """\
# password = "file:/run/secrets/database"   # not needed with a .pgpass file or peer authentication
# checks   = ["keycloak"]                   # asked of each restored copy: a preset, or SQL that must be true
# sessions = "keep"                         # of a Keycloak, when it is restored: or drop-online, drop-all
# jobs     = 2                              # connections that read at the same time
# compress = "zstd"                         # instead of gzip: faster and smaller, and `zstd -d` opens it
# lock_timeout = 60                         # seconds to wait for a table that another session has locked
# ignore   = ["sandbox"]                    # databases of the server, or containers, that need no backup
# docker   = { container = "keycloak-db", volume = "exp_postgres_keycloak", services = ["keycloak"] }
"""

_TAIL = """\
# Where backups go. The first store is written to; `verify --store` can look into others.
# A relative path begins at this file's folder.
[stores.local]
url = "backups"

# A second place, best on another machine: it gets a copy of every backup. docs/offsite.md has more.
# [stores.second]
# url   = "/mnt/second/backups"
# mount = true                # refuse to write while nothing is mounted there
# [stores.sftp]
# url      = "sftp://backup@second.example.com/srv/backups"
# identity = "/root/.ssh/backup_ed25519"
# [stores.offsite]
# url           = "s3://company-backups/keycloak"
# region        = "eu-central-1"
# storage_class = "GLACIER_IR"

# Encryption is strongly advised where others can read the stores.
# Keep the passphrase somewhere else as well: without it nothing can be restored.
[encryption]
method = "none"             # or gpg (with a passphrase or recipients), or age (with recipients)
# passphrase = "file:/run/secrets/backup_passphrase"

# Cron expressions: minute, hour, day of month, month, weekday; "none" is on demand only.
# [schedule]
# backup = "0 2 * * *"
# copy   = "0 3 * * *"
# prove  = "0 4 * * sun"
# prune  = "30 5 * * *"
# timezone = "Europe/Berlin"  # else this machine's

# What `pgproof prune` keeps. Whatever stands here, the last proven backups and the newest good one stay.
# [retention]
# keep_within  = "30d"        # everything younger; h, d, w, m (30 days) or y
# keep_weekly  = 8            # the newest of each of the last 8 weeks that have one
# keep_monthly = 12
# keep_proven  = 2
# most         = 10           # delete at most so many in one run, of all sources and stores

# From where on `pgproof status` and alerts call something unusual; docs/findings.md has all of them.
# [health]
# late       = 1.25         # intervals of the schedule until a backup or a drill is late
# smaller    = 0.5          # of the usual size or rows; below it a backup is suspicious, and nothing is pruned
# larger     = 5
# full_soon  = "30d"        # before the first store is full
# secret_age = "1y"

# [alerts]
# urls = ["env:ALERT_URL"]    # any Apprise URL
# ping = "env:PING_URL"       # called after each success: whoever waits for it notices silence
"""
