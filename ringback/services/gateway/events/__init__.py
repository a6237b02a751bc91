"""Events: their metadata and dedup keys."""
