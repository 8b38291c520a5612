"""When others ask to be left alone, and for how long."""

import email.utils

TOO_MANY = 429
"""The status of a server that is asked too often (RFC 6585)."""
PAUSE_S = 10.0
"""The shortest pause, and how long it is where nobody says."""
MOST_PAUSE_S = 86_400.0
MOST_DOUBLED_S = 640.0
"""Where nobody says, the pause doubles up to this while the answer stays the same."""


def pause_s(retry_after: str | None, now_s: float) -> float:
    """How long a server wants to be left alone, by its header Retry-After (RFC 9110, 10.2.3): seconds or a date. now_s:
    wall time."""
    try:
        asked = float(retry_after or PAUSE_S)
    except ValueError:
        try:
            asked = email.utils.parsedate_to_datetime(str(retry_after)).timestamp() - now_s
        except ValueError:
            asked = PAUSE_S
    return min(MOST_PAUSE_S, max(PAUSE_S, asked))
