"""Nova's console proxy and metadata API, which nobody asks before there is an instance.

They start after nova-compute: on two cores they would take their time from it, for which everything waits.
"""

from migrascope.testbed.roles import hypervisor, nova
from migrascope.testbed.roles.common import answers
from migrascope.testbed.settings import CONTROLLER, NODES
from migrascope.testbed.task import Await, File, Task, Units

CONSOLE = "nova console and metadata"


def tasks() -> list[Task]:
    return [
        Task(
            CONSOLE,
            CONTROLLER,
            (nova.NOVA, *(hypervisor.compute(node) for node in NODES)),
            (
                File("/etc/default/nova-consoleproxy", "NOVA_CONSOLE_PROXY_TYPE=novnc\n"),
                Units(start=("nova-api-metadata.service", "nova-novncproxy.service")),
                Await(answers(6080), 60, "the console proxy answers"),
                Await(answers(8775), 60, "the metadata API answers"),
            ),
        )
    ]
