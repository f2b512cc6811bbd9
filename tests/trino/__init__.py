"""The mirror's SQL on the engine that Treasure Data runs."""
