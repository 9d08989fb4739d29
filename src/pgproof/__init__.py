"""pgproof: a PostgreSQL backup counts only once it has been restored and compared."""

__version__ = "0.1.0"
