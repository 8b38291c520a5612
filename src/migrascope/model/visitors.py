"""Who uses the website in a plan."""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from migrascope.model.quantity import DAY_S, Duration, Part

FIT: Final = "fit"
"""In place of a number of visits: as many as fit the guest, found before the first trial."""
MOST_VISITS = 500.0


def _visits(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value == FIT or (number and 0 <= value <= MOST_VISITS):
        return value
    raise ValueError(f'a number of visits a second from 0 to {MOST_VISITS:g}, or "{FIT}": as many as fit the guest')


VisitRate = Annotated[
    float | Literal["fit"],
    BeforeValidator(_visits),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": MOST_VISITS}, {"const": FIT}]}),
]


class Visitors(Part):
    """Open-loop visits per second of each kind, viewers of video, and the player's buffer that player_stall_s uses.
    browser: beside the viewers Chromium shows the page, and its own player the video.

    "fit" in place of a number: as many visits as leave the guest half of its processor, but no more than `most`."""

    new_rate: VisitRate = FIT
    kept_rate: VisitRate = FIT
    most: float = Field(50.0, gt=0, le=MOST_VISITS)
    kept_connections: int = Field(10, ge=1, le=100)
    viewers: int = Field(2, ge=0, le=16)
    live_buffer: Annotated[Duration, Field(le=DAY_S)] = 0.5
    file_buffer: Annotated[Duration, Field(le=DAY_S)] = 2.0
    browser: bool = False

    @property
    def fits(self) -> bool:
        """Whether a rate is to be found."""
        return FIT in (self.new_rate, self.kept_rate)

    @property
    def rates(self) -> tuple[float, float]:
        """Visits a second of new and of kept connections. ValueError while one of them is to be found."""
        if isinstance(self.new_rate, str) or isinstance(self.kept_rate, str):
            raise ValueError("how many visits fit the guest was not found yet")
        return self.new_rate, self.kept_rate
