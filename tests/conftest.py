"""That this file is here puts tests/ on the import path: helpers are `conformance.memory_store` and the like."""
