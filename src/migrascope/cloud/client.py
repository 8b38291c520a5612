"""A cloud's APIs: one connection, one kind of error, and the only place that decides what may be asked twice."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import keystoneauth1.exceptions
import openstack
import requests
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from migrascope.model.problem import Problem, UsageProblem

T = TypeVar("T")
COMPUTE_API = "2.90"
"""Microversion of Compute that we ask for (Xena); a cloud that has less is asked for its newest."""
_PASSING = (429, 500, 502, 503, 504)
_TOO_MANY = 429
_SILENT_S = 60.0
PAGE = 1000


@dataclass(frozen=True)
class Patience:
    """How long what may be repeated is, and by which clock. seconds 0: nothing is."""

    seconds: float = 60.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


PATIENT, IMPATIENT = Patience(), Patience(0.0)


class CloudError(Problem):
    """What an API refused or did not answer: its own words. status: HTTP's, 0 where there was no answer. after_s: how
    long it wants to be left alone, None where it does not say."""

    def __init__(self, text: str, status: int = 0, after_s: float | None = None) -> None:
        super().__init__(text)
        self.status, self.after_s = status, after_s

    @property
    def undecided(self) -> bool:
        """Whether what was asked for may have been done all the same."""
        return self.status == 0 or self.status >= 500


class Cloud:
    """A cloud by its name in clouds.yaml. Every method blocks: call it in a thread.

    Reads and removals are repeated for a minute where the API is busy, out of order or away: a removal that was done
    has nothing left to do. What else changes something is repeated only where the API says that it did nothing since it
    got too many requests (429). A token that the API no longer takes (401) is renewed once.
    """

    def __init__(self, name: str, connection: Connection, patience: Patience = PATIENT) -> None:
        self.name, self.connection, self._patience = name, connection, patience
        self._compute_api = ""

    @classmethod
    def connect(
        cls,
        name: str,
        clouds_yaml: Path | None = None,
        patience: Patience = PATIENT,
        silent_s: float = _SILENT_S,
    ) -> "Cloud":
        """Reads clouds.yaml (where openstacksdk finds it, or this file) and authenticates. silent_s: an API that is
        silent for so long has not answered, unless clouds.yaml says another (api_timeout).

        UsageProblem when there is no such cloud; CloudError when it does not let us in.
        """
        try:
            config = OpenStackConfig(config_files=[str(clouds_yaml)] if clouds_yaml else None)
            known = set(config.get_cloud_names()) - {"defaults"}
            if name not in known:
                raise UsageProblem(f"clouds.yaml names no cloud {name}; it names: {', '.join(sorted(known)) or 'none'}")
            region = config.get_one(cloud=name, app_name="migrascope", image_status_code_retries=0)
            region.config["api_timeout"] = region.config.get("api_timeout") or silent_s
            connection = Connection(config=region)
        except openstack.exceptions.ConfigException as error:
            raise UsageProblem(f"clouds.yaml: {error}") from error
        cloud = cls(name, connection, patience)
        cloud.idempotent(connection.session.get_token)
        return cloud

    def impatient(self) -> "Cloud":
        """The same cloud, that repeats nothing."""
        return Cloud(self.name, self.connection, IMPATIENT)

    @property
    def project(self) -> str:
        """The id of the project that we are in."""
        return str(self.connection.current_project_id)

    def rights(self) -> tuple[str, list[str]]:
        """The name of the project that we are in, and the roles that we have there."""
        auth: Any = self.connection.session.auth
        access = self.idempotent(lambda: auth.get_access(self.connection.session))
        return str(access.project_name), sorted(access.role_names)

    def idempotent(self, request: Callable[[], T]) -> T:
        """What a request gives that may be repeated: a question, or a removal. CloudError when it was refused, or
        failed for a minute."""
        return self._repeated(request, (0, *_PASSING))

    def once(self, request: Callable[[], T]) -> T:
        """What a request that changes something gives. CloudError with the API's own words; where it is `undecided` the
        caller has to look what became of it."""
        return self._repeated(request, (_TOO_MANY,))

    def _repeated(self, request: Callable[[], T], statuses: tuple[int, ...]) -> T:
        """Repeats a request that fails so, as late as the API wishes, until our patience ends."""
        patience, wait = self._patience, 0.5
        deadline = patience.clock() + patience.seconds
        while True:
            try:
                return self._asked(request)
            except CloudError as error:
                pause = wait if error.after_s is None else error.after_s
                if error.status not in statuses or patience.clock() + pause > deadline:
                    raise
            patience.sleep(pause)
            wait = min(8.0, 2 * wait)

    def _asked(self, request: Callable[[], T]) -> T:
        try:
            return request()
        except openstack.exceptions.HttpException as error:
            text = str(error.details or error.message or error)
            raise CloudError(f"cloud {self.name}: {text}", int(error.status_code or 0), _after(error)) from error
        except keystoneauth1.exceptions.HttpError as error:
            raise CloudError(f"cloud {self.name}: {error.message}", error.http_status, _after(error)) from error
        except (openstack.exceptions.SDKException, keystoneauth1.exceptions.ClientException) as error:
            raise CloudError(f"cloud {self.name}: {error}") from error
        except requests.RequestException as error:
            raise CloudError(f"cloud {self.name}: {type(error).__name__}: {error}") from error

    @property
    def compute_api(self) -> str:
        """The microversion that we speak with Compute."""
        if not self._compute_api:
            data = self.idempotent(lambda: self.connection.compute.get_endpoint_data())
            newest = data.max_microversion if data is not None else None
            if newest is None:
                raise CloudError(f"cloud {self.name}: its Compute API has no microversions")
            ours = tuple(int(part) for part in COMPUTE_API.split("."))
            self._compute_api = ".".join(map(str, min(ours, tuple(newest))))
        return self._compute_api

    def compute(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON that Compute answers; {} for an empty answer. Reads and removals are repeated, the rest is not."""
        adapter, version = self.connection.compute, self.compute_api

        def ask() -> dict[str, Any]:
            return answered(adapter.request(path, method, json=body, microversion=version))

        return self.idempotent(ask) if method in ("GET", "DELETE") else self.once(ask)

    def listed(
        self, path: str, key: str, marker: str = "id", before: Callable[[], None] = lambda: None
    ) -> Iterator[dict[str, Any]]:
        """All of a list of Compute's, page after page. marker: the field by which the next page is asked for. before:
        called before each request."""
        sign = "&" if "?" in path else "?"
        after = ""
        while True:
            before()
            answer = self.compute("GET", f"{path}{sign}limit={PAGE}{after}")
            yield from answer[key]
            if f"{key}_links" not in answer:
                return
            after = f"&marker={answer[key][-1][marker]}"


def answered(answer: requests.Response) -> dict[str, Any]:
    """The JSON of an answer, {} where it is empty; for `Cloud.idempotent` and `Cloud.once`, which know its errors."""
    openstack.exceptions.raise_from_response(answer)
    found: dict[str, Any] = answer.json() if answer.content else {}
    return found


def _after(error: Any) -> float | None:
    """The seconds of a Retry-After, where the answer has one."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    value = str(headers.get("Retry-After", ""))
    return float(value) if value.isdigit() else None
