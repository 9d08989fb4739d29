"""A configuration from next to nothing: the address of a store, and what a backup in it remembers of the one it had."""

from collections.abc import Mapping
from pathlib import Path

from pgproof.checks import keycloak
from pgproof.config.fields import Table
from pgproof.config.read import read_policy, read_source
from pgproof.config.references import by_variable, is_reference
from pgproof.config.settings import (
    DEFAULT_PROFILE,
    PROFILES,
    Alerts,
    Config,
    EncryptionSettings,
    Schedule,
    SourceSettings,
)
from pgproof.config.stores import StoreSettings, read_stores
from pgproof.errors import ConfigError
from pgproof.manifest import Manifest
from pgproof.secret import Secret

NAME = "given"  # of the one store
_BY_VARIABLE = {"endpoint": "S3_ENDPOINT", "region": "S3_REGION", "ca_file": "AWS_CA_BUNDLE"}


def store_at(url: str, env: Mapping[str, str]) -> StoreSettings:
    """The store at an address; of a bucket the rest is in S3_ENDPOINT, S3_REGION and AWS's own variables, of a server
    with SSH in its known_hosts. Raises ConfigError.
    """
    values: dict[str, object] = {"url": url}
    if url.startswith("s3:"):
        values |= {key: env[name] for key, name in _BY_VARIABLE.items() if env.get(name)}
        values |= {"path_style": True} if "endpoint" in values else {}
    root = Table({"stores": {NAME: values}}, "", None, Path.cwd())
    (found,) = read_stores(root, lambda table: read_policy(table, PROFILES[DEFAULT_PROFILE]))
    return found


def config_of(
    store: StoreSettings,
    newest: Manifest,
    to: str | None,
    password: str | None,
    env: Mapping[str, str],
    typed: Secret | None,
) -> Config:
    """Of one source: its settings as the newest backup remembers them, its server at `to`, or where it was, with
    the reference `password`. What else is secret comes from the environment (PGPASSWORD, GPG_PASSPHRASE, AGE_IDENTITY,
    each also with _FILE), or was typed; no SQL and no command is taken from a store. Raises ConfigError.
    """
    profile = PROFILES[DEFAULT_PROFILE]
    policy = read_policy(Table({}, "retention", None, Path.cwd()), profile)
    source = _source(newest, to, password, env)
    return Config(None, profile, (source,), (store,), _encryption(newest, env, typed), Schedule(), policy, Alerts())


def _source(newest: Manifest, to: str | None, password: str | None, env: Mapping[str, str]) -> SourceSettings:
    at = f"sources.{newest.source}."
    known = {key.removeprefix(at): value for key, value in newest.config.items() if key.startswith(at)}
    url = to or known.get("url", "")
    if not url or (to is None and is_reference(url)):
        raise ConfigError(
            f"the backups of {newest.source} do not say where its server was",
            hint="name the server to recover into: --to postgresql://postgres@localhost/DATABASE",
        )
    values: dict[str, object] = {"url": url}
    if password or "PGPASSWORD" in env:
        values["password"] = password or "env:PGPASSWORD"
    if keycloak.wanted(known.get("checks", "").split(",")):
        values |= {"checks": [keycloak.PRESET]} | ({"sessions": known["sessions"]} if "sessions" in known else {})
    if to is None and "docker.container" in known:
        services = [one for one in known.get("docker.services", "").split(", ") if one]
        place = {"container": known["docker.container"], "volume": known.get("docker.volume", "")}
        values["docker"] = {**{key: value for key, value in place.items() if value}, "services": services}
    return read_source(Table(values, f"sources.{newest.source}", None, Path.cwd()), newest.source)


def _encryption(newest: Manifest, env: Mapping[str, str], typed: Secret | None) -> EncryptionSettings:
    method = newest.main.encryption
    if method == "gpg":
        found = by_variable(env, "GPG_PASSPHRASE")
        return EncryptionSettings("gpg", found, typed=None if found else typed)
    if method == "age":
        return EncryptionSettings("age", identity=by_variable(env, "AGE_IDENTITY"))
    return EncryptionSettings()
