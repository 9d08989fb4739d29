"""The commented pgproof.toml that `pgproof init` writes."""

import json
import re
from collections.abc import Collection, Sequence

from pgproof.config.read import FILE, check_url
from pgproof.config.references import is_reference
from pgproof.errors import ConfigError
from pgproof.manifest import check_source_name

_BARE = re.compile(r"[a-z0-9_-]+")
_EXAMPLE = (("keycloak", "postgresql://backup@127.0.0.1:5432/keycloak"),)


def template(
    sources: Sequence[tuple[str, str]] = (),
    *,
    store: str = "backups",
    password: str | None = None,
    keycloaks: Collection[str] = (),
) -> str:
    """A configuration for the (name, url) pairs, or for an example; `password` is a reference, `keycloaks`
    the names of sources to ask Keycloak's questions of. Raises UsageError or ConfigError.
    """
    written = "\n".join(_source(name, url, password, keycloak=name in keycloaks) for name, url in sources or _EXAMPLE)
    return f"{_HEAD}\n{written}\n{_TAIL}".replace('url = "backups"', f"url = {json.dumps(store, ensure_ascii=False)}")


def _source(name: str, url: str, password: str | None, *, keycloak: bool) -> str:
    check_source_name(name)
    if not is_reference(url):
        check_url(url, f"sources.{name}.url")
    if not url.isprintable():
        raise ConfigError(f"sources.{name}.url has characters that cannot be shown", hint=f"edit {FILE} by hand")
    key = name if _BARE.fullmatch(name) else json.dumps(name)
    notes = _SOURCE_NOTES
    if password:
        notes = notes.replace('# password = "file:/run/secrets/database" ', f"password = {json.dumps(password)}", 1)
    if keycloak:
        notes = notes.replace("# checks   =", "checks     =", 1)
    return f"[sources.{key}]\nurl = {json.dumps(url, ensure_ascii=False)}\n{notes}"


_HEAD = """\
# pgproof's configuration. A backup counts only once it has been restored.
#
# Passwords and passphrases never stand in this file. Say where they are to be found:
#   "env:NAME"       the environment variable NAME
#   "file:PATH"      a file that only its owner may read (chmod 600)
#   "exec:COMMAND"   what a command prints, such as "exec:pass show backup"
#
# `pgproof doctor` tells whether everything here can work.

# How often there should be a backup and a drill, of which `pgproof status` warns when they are late, and how long
# to keep. The running of them is cron's or systemd's. Any line below overrides the profile.
#   high-availability   a backup daily, a drill weekly, kept 90 days
#   production          a backup daily, a drill monthly, kept 30 days
#   development         everything on demand, kept 14 days
profile = "production"

# What to protect: one table for each database. The name becomes a folder in every store."""

_SOURCE_NOTES = """\
# password = "file:/run/secrets/database"   # not needed with a .pgpass file or peer authentication
# checks   = ["keycloak"]                   # asked of each restored copy: a preset, or SQL that must be true
# jobs     = 2                              # connections that read at the same time
# compress = "zstd"                         # instead of gzip: faster and smaller, and `zstd -d` opens it
# lock_timeout = 60                         # seconds to wait for a table that another session has locked
# docker   = { container = "keycloak-db", volume = "exp_postgres_keycloak", services = ["keycloak"] }
"""

_TAIL = """\
# Where backups go. The first store is written to; `verify --store` can look into others.
# A relative path begins at this file's folder.
[stores.local]
url = "backups"

# A second place, best on another machine. `mount = true` refuses to write while nothing is mounted there.
# [stores.offsite]
# url   = "/mnt/offsite/backups"
# mount = true

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

# What `pgproof prune` keeps. Whatever stands here, the last proven backups and the newest good one stay.
# [retention]
# keep_within  = "30d"        # everything younger; h, d, w, m (30 days) or y
# keep_weekly  = 8            # the newest of each of the last 8 weeks that have one
# keep_monthly = 12
# keep_proven  = 2
# most         = 10           # delete at most so many in one run

# [alerts]
# urls = ["env:ALERT_URL"]    # any Apprise URL
# ping = "env:PING_URL"       # called after each success: whoever waits for it notices silence
"""
