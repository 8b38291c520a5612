"""What cannot be read, and why."""

MOST_BYTES = 16 << 20
"""No record or block is longer; a length beyond it is no length."""


class NotRead(Exception):
    """A capture that cannot be read; the message is a clause that says what is wrong with it."""


class Damaged(NotRead):
    """A place in the file where there is no record."""

    def __init__(self, position: int, what: str) -> None:
        self.position = position
        super().__init__(f"it is damaged at byte {position}: {what}")
