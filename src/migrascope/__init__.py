"""Migrascope: what a live migration costs."""

__version__ = "0.1.0"
