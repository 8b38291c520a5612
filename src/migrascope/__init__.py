"""Migrascope: what a live migration costs."""
