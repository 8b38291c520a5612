"""Clouds by their APIs, whoever asks: labs, probes, checks."""
