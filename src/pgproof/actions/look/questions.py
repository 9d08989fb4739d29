"""What `init` asks of a server, by a session or through a container's psql."""

from collections.abc import Iterable

DATABASES = "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1"
KEYCLOAK = """
SELECT count(*) = 3 FROM pg_catalog.pg_class
WHERE relkind = 'r' AND relname IN ('migration_model', 'user_entity', 'keycloak_role')
"""


def wanted(names: Iterable[str]) -> list[str]:
    """Those worth protecting: all but the one that every server has."""
    return [one for one in names if one != "postgres"]
