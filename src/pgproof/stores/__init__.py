"""Bytes at rest: a store keeps them under names, in six methods."""
