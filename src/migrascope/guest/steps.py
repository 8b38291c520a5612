"""How the agent works on a request: a slice at a time. Runs in the guest, on python3-minimal."""

from collections.abc import Iterator

Answer = tuple[int, dict[str, object]]
# A request that takes long yields None between its slices, so that /alive is answered meanwhile.
Steps = Iterator[Answer | None]
