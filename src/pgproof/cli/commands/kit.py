"""kit: what to know when everything else is gone, for paper; no secret is in it."""

from datetime import UTC, datetime

from pgproof.cli import render
from pgproof.cli.app import app
from pgproof.cli.options import AsJson, ConfigPath, Manners, Quiet, settings
from pgproof.config import Config, EncryptionSettings, SftpSettings, SourceSettings, StoreSettings, without_secrets
from pgproof.config.references import Reference
from pgproof.stream.encrypt import fingerprints

_OPENS = {"gpg": "gpg --decrypt", "age": "age --decrypt --identity KEY"}  # a part, with stock programs
_LOAD = 'import json; c = json.load(open("manifest.json"))["content"]'
_CHECK = f'python3 -c \'{_LOAD}; [print(p["sha256"], "", p["name"]) for p in c["parts"]]\' | sha256sum -c'
_LOCALE = f'python3 -c \'{_LOAD}["database"]; print("-E", c["encoding"], "--lc-collate=" + c["collate"], '
_LOCALE += '"--lc-ctype=" + c["ctype"])\''
_PAGE = "docs/without-pgproof.md"


@app.command()
def kit(config: ConfigPath = None, json: AsJson = False, quiet: Quiet = False) -> int:
    """Print the recovery kit: where backups are, what opens them, and the exact commands. Keep it on paper."""
    conf, manners = settings(config), Manners(json, quiet)
    lines = kit_of(conf, datetime.now(UTC))
    manners.say("\n".join(lines))
    manners.document({"lines": lines, "config": without_secrets(conf)})
    return 0


def kit_of(conf: Config, now: datetime) -> list[str]:
    """The kit's lines; secrets are named by where they are, and are to be written in by hand."""
    lines = [f"RECOVERY KIT of pgproof, {render.moment(now)}", "", "1. Where the backups are"]
    lines += [f"   {one.name}: {one.url}{_host_key(one)}" for one in conf.stores]
    lines += ["   credentials of the stores: ______________________________________________", "", "2. What opens them"]
    lines += [f"   {one}" for one in _opening(conf.encryption)]
    lines += ["", f"3. With pgproof ({_configured(conf)})"]
    for source in conf.sources:
        lines += _with_pgproof(source)
    lines += ['   on a machine that has none of it (docs/recover.md, "From nothing"):']
    for store in conf.stores:
        lines.append(f"     pgproof recover --from {store.url} --to postgresql://USER@HOST/DATABASE --dry-run")
    lines.append(
        "     add --new-cluster FOLDER where PostgreSQL is installed and there is no server: one is made in FOLDER"
    )
    lines += ["", f"4. Without pgproof, in the folder of the newest backup that has a file in proofs/ ({_PAGE})"]
    lines += ["   Which server is said by PGHOST, PGUSER and PGPASSWORD; it is of the backup's major version or newer.",
              "   Each line of the first must end with OK; the last word of a restored database is COMMIT.",
              f"     {_CHECK}"]  # fmt: skip
    for source in conf.sources:
        lines += _without(source, conf.encryption.method)
    return [*lines, "", "5. Afterwards: users log in? data of other systems fits? written down? procedure reviewed?"]


def _opening(told: EncryptionSettings) -> list[str]:
    if told.method == "none":
        return ["nothing: the backups are not encrypted"]
    secret: Reference | None = told.passphrase or told.identity
    lines = [f"method: {told.method}"]
    known = fingerprints(told.recipients) if told.method == "gpg" and told.recipients else {}
    lines += [f"recipient: {one}{f', key {known[one]}' if one in known else ''}" for one in told.recipients]
    where = secret.shown() if secret else "the secret key of a recipient, which is not on this machine"
    return [*lines, f"the secret itself (here it is {where}): ______________________________"]


def _with_pgproof(source: SourceSettings) -> list[str]:
    at = source.url.shown() if isinstance(source.url, Reference) else source.url
    stops = [" ".join(argv) for argv in (source.recover.stop if source.recover else ())]
    stops += [f"docker stop {one}" for one in (source.docker.services if source.docker else ())]
    volume = f"     pgproof recover {source.name}:volume        its server's volume, also where the container is gone"
    return [
        f"   {source.name}, which is at {at}",
        f"     pgproof recover {source.name} --dry-run     what would be done, what is lost, how long",
        f"     pgproof recover {source.name}               do it; stops: {'; '.join(stops) or 'nothing'}",
        f"     pgproof recover {source.name} --undo        put the old database back",
        f"     pgproof restore {source.name} --to postgresql://USER@HOST/NEW --create-roles    on another server",
        *([volume] if "volume" in source.kinds else []),
    ]


def _configured(conf: Config) -> str:
    return (
        f"in the folder {conf.path.parent}; elsewhere with --config {conf.path}" if conf.path else "by the environment"
    )


def _without(source: SourceSettings, method: str) -> list[str]:
    new = f"{source.name}_restored"
    return [
        f"   {source.name}:",
        f"     {_read('globals.sql', source, method)} | psql -X -d postgres",
        f"     createdb -T template0 $({_LOCALE}) {new}",
        f"     {_read(f'{source.name}.sql', source, method)} | psql -X -v ON_ERROR_STOP=1 -d {new}",
        f"     vacuumdb --analyze-only --quiet {new}",
        *(_volume_without(source, method) if "volume" in source.kinds else []),
    ]


def _read(part: str, source: SourceSettings, method: str) -> str:
    """The line that writes a part's plain text; nothing that was encrypted is put on a disk."""
    ending, tool = ("zst", "zstdcat") if source.codec == "zstd" else ("gz", "gunzip -c")
    opens = _OPENS.get(method)
    return f"{opens} {part}.{ending}.{method} | {tool}" if opens else f"{tool} {part}.{ending}"


def _volume_without(source: SourceSettings, method: str) -> list[str]:
    unpack = "tar --extract --same-owner --numeric-owner --xattrs --file -"
    return [
        "     its volume, as root, in the empty folder of a new one (BACKUP is the folder of the backup):",
        f"     {_read('BACKUP/volume.tar', source, method)} | {unpack}",
        "     [ ! -e pgproof-removed ] || { xargs -0 rm -f < pgproof-removed; rm pgproof-removed; }",
        "     then a container of the image, with the volume where it was: manifest.json has image and cluster",
    ]


def _host_key(store: StoreSettings) -> str:
    where = store.where
    return f" (its host key: {where.host_key})" if isinstance(where, SftpSettings) and where.host_key else ""
