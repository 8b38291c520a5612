"""A live stream that does not come to its viewers: the run ends at the first trial that needs it, and can go on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commandline import migrascope
from faketrial import SCRIPT, light, small_plan

from migrascope.lab.fake.lab import SITE, FakeLab
from migrascope.lab.fake.runtime import ORIGIN, FakeRuntime
from migrascope.lab.fake.time import NS, VirtualClock, run_virtually
from migrascope.model.problem import RunStops
from migrascope.model.schedule import schedule
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.plans import text_of
from migrascope.trial.engine import TrialEngine

HOSTS = ["qemu+ssh://a/system", "qemu+ssh://b/system"]
GUEST = {"pool": "p", "bridge": "b", "address": "192.0.2.50/24"}
THERE = {"lab": {"kind": "libvirt"}, "libvirt": {"hosts": HOSTS, "guest": GUEST}}
CLOUD = {"lab": {"kind": "openstack"}, "cloud": {"name": "theirs", "origin": "203.0.113.7"}}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What who asks for the live stream is answered, "stream": a status, a playlist or an error."""
    said: dict[str, Any] = {"stream": 504}
    asked = FakeRuntime.request

    async def request(self: FakeRuntime, client: None, url: str, **how: Any) -> tuple[int, bytes]:
        answer = said["stream"]
        if not url.endswith("/live/index.m3u8") or answer is None:
            return await asked(self, client, url, **how)
        if isinstance(answer, OSError):
            raise answer
        return (answer, b"") if isinstance(answer, int) else (200, answer)

    monkeypatch.setattr(FakeRuntime, "request", request)
    return said


def run_one(folder: Path, scenario: str, **parts: Any) -> RunFolder:
    """The first trial of a plan of that scenario, on the fake lab."""
    plan = light(blocks=1, axes={"scenario": [scenario]}, **parts)
    run = RunFolder.create(folder, text_of(plan), {})
    spec = schedule(plan)[0]
    opened = run.open_trial(spec.number)
    run.seal_trial(opened, FakeTrials(plan, lambda _: SCRIPT).run_now(spec, opened))
    return run


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (403, "answered 403 for 15 s; the origin refuses the guest"),
        (502, "answered 502 for 15 s; the guest's connection to the origin is refused"),
        (504, "answered 504 for 15 s; the guest gets no answer from the origin"),
        (404, "answered 404 for 15 s\n"),
        (b"<h1>log in first</h1>", "answered 200 for 15 s\n"),
        (OSError("no answer in time"), "answered no answer in time for 15 s\n"),
    ],
)
def test_a_relay_without_a_stream_ends_the_run_with_what_is_known(
    answers: dict[str, Any], tmp_path: Path, answer: Any, why: str
) -> None:
    answers["stream"] = answer
    with pytest.raises(RunStops) as stopped:
        run_one(tmp_path, "relay")
    assert why in str(stopped.value)
    assert f"(the guest, on host-a) to the origin, {ORIGIN}," in str(stopped.value)
    assert "in the plan" not in str(stopped.value)  # the origin of a lab of this machine is the lab's


@pytest.mark.parametrize(("parts", "key"), [(THERE, "libvirt.guest.origin"), (CLOUD, "cloud.origin")])
def test_who_may_name_another_origin_is_told_the_key(
    answers: dict[str, Any], tmp_path: Path, parts: dict[str, Any], key: str
) -> None:
    with pytest.raises(RunStops, match=f"or name another address of this machine: {key} in the plan"):
        run_one(tmp_path, "relay", **parts)


def test_visitors_of_the_page_online_ask_the_origin_themselves(answers: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RunStops, match=rf"http://{ORIGIN}/live/index.m3u8 answered 504 for 15 s\n.* from the visitors"):
        run_one(tmp_path, "online")


def test_where_it_had_come_before_one_trial_fails(answers: dict[str, Any], tmp_path: Path) -> None:
    plan = light(blocks=1, axes={"scenario": ["relay"]})
    run, (spec,) = RunFolder.create(tmp_path, text_of(plan), {}), schedule(plan)
    back = replace(spec, number=3, source=spec.destination, destination=spec.source)
    clock = VirtualClock(1000 * NS)

    async def work() -> list[tuple[str, str | None]]:
        with FakeLab.up(clock, lambda _: SCRIPT) as lab:
            engine = TrialEngine(lab, plan, lambda phase: None, SITE, lab.runtime)
            answers["stream"] = None
            came = await engine.run(spec, run.open_trial(1))
            answers["stream"] = 504
            gone = await engine.run(replace(spec, number=2), run.open_trial(2))
            with pytest.raises(RunStops, match="the guest, on host-b"):
                await engine.run(back, run.open_trial(3))
            return [(facts.status, facts.reason) for facts in (came, gone)]

    came, (status, reason) = run_virtually(clock, work)
    assert came == ("ok", None)
    assert status == "failed"
    assert "no live stream for the scenario relay" in str(reason)


@pytest.mark.parametrize("scenario", ["none", "offline"])
def test_who_needs_no_stream_is_not_asked_for_one(answers: dict[str, Any], tmp_path: Path, scenario: str) -> None:
    (recording,) = run_one(tmp_path, scenario).recordings()
    assert recording.trial.status == "ok"


def test_the_run_says_how_it_goes_on_and_nothing_of_the_trial_is_sealed(
    answers: dict[str, Any], tmp_path: Path
) -> None:
    stopped = migrascope("run", small_plan(tmp_path, "relay"), "--lab", "fake", folder=tmp_path)
    assert stopped.code == 4
    run = RunFolder(tmp_path / "runs" / "latest")
    assert "no live stream for the scenario relay" in stopped.stderr
    assert f"then: migrascope run --resume runs/{run.path.resolve().name}" in stopped.stderr
    assert run.recordings() == []
    answers["stream"] = None
    assert migrascope("run", "--resume", "-1", folder=tmp_path).code == 0
    assert [recording.trial.status for recording in run.recordings()] == ["ok"]
