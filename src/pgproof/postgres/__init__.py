"""PostgreSQL as pgproof meets it: sessions, rows, the catalogue, its programs, throw-away servers."""
