"""Monitoring: what is said about the state of the backups, and to whom."""
