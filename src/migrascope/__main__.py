"""python -m migrascope."""

import signal
import sys

signal.signal(signal.SIGTERM, signal.default_int_handler)
try:
    from migrascope.cli import main

    main()
except KeyboardInterrupt:
    sys.exit(130)
except ImportError as error:  # of a verb's module, too, which is loaded when it is called
    from migrascope.broken import say

    sys.exit(say(error))
