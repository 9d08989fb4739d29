"""The configuration: a TOML file or the environment, read into frozen settings; secrets stay references."""

from pgproof.config.bare import config_of, store_at
from pgproof.config.environment import from_environment
from pgproof.config.labels import from_labels
from pgproof.config.read import FILE, find, load
from pgproof.config.references import Reference
from pgproof.config.secrets import known_secrets
from pgproof.config.settings import (
    PROFILES,
    Alerts,
    Config,
    Docker,
    EncryptionSettings,
    Profile,
    Recover,
    Schedule,
    SourceSettings,
    without_secrets,
)
from pgproof.config.stores import DirectorySettings, S3Settings, SftpSettings, StoreSettings
from pgproof.config.template import Draft, template
from pgproof.config.urls import check_url, is_misread, lacks_scheme, refuse_misread

__all__ = [
    "FILE",
    "PROFILES",
    "Alerts",
    "Config",
    "DirectorySettings",
    "Docker",
    "Draft",
    "EncryptionSettings",
    "Profile",
    "Recover",
    "Reference",
    "S3Settings",
    "Schedule",
    "SftpSettings",
    "SourceSettings",
    "StoreSettings",
    "check_url",
    "config_of",
    "find",
    "from_environment",
    "from_labels",
    "is_misread",
    "known_secrets",
    "lacks_scheme",
    "load",
    "refuse_misread",
    "store_at",
    "template",
    "without_secrets",
]
