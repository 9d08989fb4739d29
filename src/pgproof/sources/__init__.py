"""The protected side: a source captures itself into parts, and replays itself from parts."""
