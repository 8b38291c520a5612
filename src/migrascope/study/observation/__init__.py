"""Observing what is no lab of ours: addresses, pages, commands, and runs as they happen."""
