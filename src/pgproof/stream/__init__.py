"""Bytes in motion: sinks, child processes, compression, encryption, blocks, digests."""
