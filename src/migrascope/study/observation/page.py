"""Whether a page can be observed from here: asked for once."""

import aiohttp

from migrascope.model.manners import TOO_MANY
from migrascope.model.observation import FOREIGN_VISITS, OWN_RATE, OWN_VISITS, Target
from migrascope.model.observed import host_of, url_problem
from migrascope.model.problem import Problem, UsageProblem
from migrascope.probe.boot import NoBootId, asked
from migrascope.probe.fetches import session
from migrascope.study.observation.way import default_rate, resolved

_LIMIT_S = 5.0


async def page_of(url: str, rate: float | None) -> Target:
    """How a URL is observed. rate: None for what manners allow. UsageProblem where it is no URL or its host no name,
    Problem where the page is not there."""
    address = await resolved(host_of(url))
    chosen = rate or (OWN_VISITS if default_rate(address) == OWN_RATE else FOREIGN_VISITS)
    answers = await _answers(url)
    return Target(name=url, address=address, way="http", port=0, rate=chosen, why="--url", answers=answers)


async def _answers(url: str) -> bool:
    try:
        async with session(_LIMIT_S) as client, client.get(url, allow_redirects=False) as response:
            status = response.status
    except TimeoutError:
        return False
    except (aiohttp.ClientError, OSError) as error:
        raise Problem(f"{url}: {error}\n  next: --url with a page that is there") from error
    if status == TOO_MANY:
        raise Problem(f"{url}: the server asks for fewer visits (status {status})\n  next: wait, and a lower --rate")
    if status != 200:
        raise Problem(f"{url}: status {status} instead of 200\n  next: --url with a page that is there")
    return True


async def need_boot_id(url: str) -> None:
    """Asks once whether a machine says its boot id there. UsageProblem where it is no URL, Problem where nobody says
    one."""
    if problem := url_problem(url):
        raise UsageProblem(f"--boot-url: {problem}")
    try:
        async with session(_LIMIT_S) as client:
            _, left_alone_s = await asked(client, url)
    except TimeoutError:
        words = f"no answer within {_LIMIT_S:g} s"
    except (NoBootId, aiohttp.ClientError, OSError) as error:
        words = str(error)
    else:
        if not left_alone_s:
            return
        words = f"the server asks for a pause of {left_alone_s:g} s (status {TOO_MANY})"
    raise Problem(
        f"--boot-url {url}: {words}\n  next: --boot-url with a file that holds the machine's boot id, or without"
    )
