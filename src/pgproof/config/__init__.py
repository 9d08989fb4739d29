"""The configuration: a TOML file or the environment, read into frozen settings; secrets stay references."""

from pgproof.config.environment import from_environment
from pgproof.config.read import FILE, check_url, find, load
from pgproof.config.references import Reference
from pgproof.config.settings import (
    PROFILES,
    Alerts,
    Config,
    Docker,
    EncryptionSettings,
    Profile,
    Schedule,
    SourceSettings,
    StoreSettings,
    without_secrets,
)
from pgproof.config.template import template

__all__ = [
    "FILE",
    "PROFILES",
    "Alerts",
    "Config",
    "Docker",
    "EncryptionSettings",
    "Profile",
    "Reference",
    "Schedule",
    "SourceSettings",
    "StoreSettings",
    "check_url",
    "find",
    "from_environment",
    "load",
    "template",
    "without_secrets",
]
