"""What a running guest holds and writes, asked of its hosts' libvirt, so that its migration can be predicted."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from migrascope.lab.hosts.pair import Pair
from migrascope.lab.hosts.python import python_with_libvirt
from migrascope.lab.hosts.sampling import sampled
from migrascope.lab.libvirt.connection import LibvirtError
from migrascope.lab.libvirt.placed import Placed
from migrascope.model.problem import Problem
from migrascope.model.running import Running
from migrascope.predict.request import NotPredicted
from migrascope.study.doctor.hosts import reached


@dataclass(frozen=True)
class Wanted:
    """A domain on one of several hosts. uris: libvirt's, of these. uuid: empty where it is known by its name alone."""

    uris: Sequence[str]
    name: str
    uuid: str = ""


async def sample(wanted: Wanted, say: Callable[[str], None]) -> Running:
    """Samples it. say: takes what goes on, a sentence each. NotPredicted with the reason and what would help."""
    try:
        python = await asyncio.to_thread(python_with_libvirt)
        async with Pair.opened(wanted.uris, python) as pair:
            uuid = wanted.uuid or await pair.uuid_of(wanted.name)
            return await sampled(Placed(pair.connections, uuid), wanted.name, say)
    except LibvirtError as error:
        for uri in wanted.uris:
            check = await reached(uri, python)
            if check.blocks:
                words = f"{check.name} takes no connection by which a guest can be sampled: {check.found}"
                raise NotPredicted(f"cannot be predicted, because {words}\n  next: {check.remedy}") from error
        raise NotPredicted(f"cannot be predicted, because libvirt refused: {error}") from error
    except Problem as error:
        raise NotPredicted(f"cannot be predicted, because {error}") from error
