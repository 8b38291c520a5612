"""The ends of captured connections, and when their first packet came."""

A, B = "10.0.0.1", "10.0.0.2"
BASE = 1_700_000_000 * 10**9
