"""What tests of observing share."""

from loopback import port, site

__all__ = ["port", "site"]
