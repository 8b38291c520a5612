"""Delay, jitter, loss and throughput of the flows of any capture, by RFC, in one pass and bounded memory."""
