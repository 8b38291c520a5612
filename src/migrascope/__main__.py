"""python -m migrascope."""

import signal
import sys

signal.signal(signal.SIGTERM, signal.default_int_handler)
try:
    from migrascope.cli import main

    main()
except KeyboardInterrupt:
    sys.exit(130)
