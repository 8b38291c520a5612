"""Builds every root that the labs need and the cache has not, for ./test: beside tests that need none of them."""

import asyncio
import sys

from migrascope.guest.image import ROOT as GUEST_ROOT
from migrascope.lab.host_image import HOST
from migrascope.lab.libvirt.image import LIBVIRT_HOST
from migrascope.model.problem import Problem
from migrascope.node.image import roots
from migrascope.testbed.packages import NODE

if __name__ == "__main__":
    try:
        asyncio.run(roots([NODE, HOST, LIBVIRT_HOST, GUEST_ROOT], print, lambda text: None))
    except Problem as error:
        sys.exit(str(error))
