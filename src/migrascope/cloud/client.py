"""A cloud's APIs: one connection, one kind of error, and the only place that decides what may be asked twice."""

import time
from collections.abc import Callable
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
_PATIENCE_S = 60.0
_PASSING = (429, 500, 502, 503, 504)


class CloudError(Problem):
    """What an API refused or did not answer: its own words. status: HTTP's, 0 where there was no answer."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Cloud:
    """A cloud by its name in clouds.yaml. Every method blocks: call it in a thread.

    Reads are repeated for a minute where the API is busy, out of order or away; what changes something is asked once.
    """

    def __init__(self, name: str, connection: Connection) -> None:
        self.name, self.connection = name, connection
        self._compute_api = ""

    @classmethod
    def connect(cls, name: str, clouds_yaml: Path | None = None) -> "Cloud":
        """Reads clouds.yaml (where openstacksdk finds it, or this file) and authenticates.

        UsageProblem when there is no such cloud; CloudError when it does not let us in.
        """
        try:
            config = OpenStackConfig(config_files=[str(clouds_yaml)] if clouds_yaml else None)
            known = set(config.get_cloud_names()) - {"defaults"}
            if name not in known:
                raise UsageProblem(f"clouds.yaml names no cloud {name}; it names: {', '.join(sorted(known)) or 'none'}")
            connection = Connection(config=config.get_one(cloud=name, app_name="migrascope"))
        except openstack.exceptions.ConfigException as error:
            raise UsageProblem(f"clouds.yaml: {error}") from error
        cloud = cls(name, connection)
        cloud.read(connection.authorize)
        return cloud

    def read(self, question: Callable[[], T]) -> T:
        """What a question that changes nothing gives. CloudError when it was refused, or failed for a minute."""
        deadline, wait = time.monotonic() + _PATIENCE_S, 0.5
        while True:
            try:
                return self.once(question)
            except CloudError as error:
                if error.status not in (0, *_PASSING) or time.monotonic() + wait > deadline:
                    raise
            time.sleep(wait)
            wait = min(8.0, 2 * wait)

    def once(self, request: Callable[[], T]) -> T:
        """What a request gives, asked once. CloudError with the API's own words."""
        try:
            return request()
        except openstack.exceptions.HttpException as error:
            text = str(error.details or error.message or error)
            raise CloudError(f"cloud {self.name}: {text}", int(error.status_code or 0)) from error
        except keystoneauth1.exceptions.HttpError as error:
            raise CloudError(f"cloud {self.name}: {error.message}", error.http_status) from error
        except (openstack.exceptions.SDKException, keystoneauth1.exceptions.ClientException) as error:
            raise CloudError(f"cloud {self.name}: {error}") from error
        except requests.RequestException as error:
            raise CloudError(f"cloud {self.name}: {type(error).__name__}: {error}") from error

    @property
    def compute_api(self) -> str:
        """The microversion that we speak with Compute."""
        if not self._compute_api:
            data = self.read(lambda: self.connection.compute.get_endpoint_data())
            newest = data.max_microversion if data is not None else None
            if newest is None:
                raise CloudError(f"cloud {self.name}: its Compute API has no microversions")
            ours = tuple(int(part) for part in COMPUTE_API.split("."))
            self._compute_api = ".".join(map(str, min(ours, tuple(newest))))
        return self._compute_api

    def compute(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON that Compute answers; {} for an empty answer. Reads are repeated, anything else is asked once."""
        adapter, version = self.connection.compute, self.compute_api

        def ask() -> dict[str, Any]:
            answer = adapter.request(path, method, json=body, microversion=version)
            openstack.exceptions.raise_from_response(answer)
            found: dict[str, Any] = answer.json() if answer.content else {}
            return found

        return self.read(ask) if method == "GET" else self.once(ask)
