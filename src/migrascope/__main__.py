"""python -m migrascope."""

import os
import signal
import sys

for number in (signal.SIGINT, signal.SIGTERM):  # raised while modules are loaded, an exception could be lost
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, lambda *_: os._exit(130))
try:
    from migrascope.cli import main

    main()
except KeyboardInterrupt:
    sys.exit(130)
except ImportError as error:  # of a verb's module, too, which is loaded when it is called
    from migrascope.broken import say

    sys.exit(say(error))
