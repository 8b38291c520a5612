"""Bringing up the labs of a plan."""
