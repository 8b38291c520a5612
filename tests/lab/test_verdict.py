"""What is planted in real trials is found, and named for what it is."""

import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kept import Kept
from migrascope.analysis.run import result_of
from migrascope.lab.contract import Requested
from migrascope.lab.host_image import HOST
from migrascope.lab.offline import LEDGER, SITE
from migrascope.lab.qemu import instance as instances
from migrascope.lab.qemu import lab as labs
from migrascope.lab.qemu import migration
from migrascope.lab.qemu.instance import Instance
from migrascope.lab.qemu.lab import QemuInstance, QemuLab
from migrascope.lab.qemu.volume import Volume
from migrascope.model.plan import Plan
from migrascope.model.schedule import schedule
from migrascope.model.verdict import Judgement, Statement
from migrascope.model.witness import RECORD_BYTES
from migrascope.node.image import root_image
from migrascope.node.wait import wait_until
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.images import Images, prepare
from migrascope.study.plans import text_of
from migrascope.trial import parts
from migrascope.trial.agent_client import AgentClient
from migrascope.trial.engine import TrialEngine

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]
MOST_TRIALS = 8


class StillGuest(AgentClient):
    """A guest whose memory witness lies still: it writes as little as a guest can."""

    async def ask(self, path: str, *, post: bool = False, timeout_s: float = 5.0) -> dict[str, Any]:
        if path == "/alive?id=start":
            await super().ask("/witness?rewriting=off", post=True)
        return await super().ask(path, post=post, timeout_s=timeout_s)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up() -> AsyncIterator[tuple[QemuLab, Images]]:
    """A lab that its trials use one after another."""
    images = await prepare(lambda text: None)
    async with QemuLab.up(images.host_root, images.boot, wanted="auto", program=None) as lab:
        yield lab, images


async def judged(up: tuple[QemuLab, Images], folder: Path, **parts: Any) -> tuple[Recording, Judgement]:
    """One trial of a plan with these parts, and the verdict on it."""
    lab, images = up
    plan = Plan.model_validate(
        {
            "blocks": 1,
            "axes": {"scenario": ["none"]},
            "probes": {"echo_rate": 100},
            "visitors": {"new_rate": 5, "kept_rate": 5},
            "windows": {"before": "3s", "limit": "20s", "boot_limit": "3min", "steady_limit": "3min"},
            **parts,
        }
    )
    run = RunFolder.create(folder, text_of(plan), {})
    (spec,) = schedule(plan)
    opened = run.open_trial(1)
    facts = await TrialEngine(lab, plan, lambda phase: None, images.site).run(spec, opened)
    recording = run.seal_trial(opened, facts)
    print(f"trial: {facts.status}: {facts.reason}")
    return recording, result_of(recording).judgement


def bad(judgement: Judgement) -> dict[str, Statement]:
    """What the witnesses say that is not "intact"."""
    return {statement.witness: statement for statement in judgement.statements if statement.verdict != "intact"}


async def test_two_guests_on_one_volume_are_two_copies(
    up: tuple[QemuLab, Images], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source goes on after the migration. The volume knows no lock."""

    class Split(QemuInstance):
        async def migrate(self, destination: str, limit_s: float, requested: Requested) -> dict[str, Any]:
            source = self.host
            answer = await super().migrate(destination, limit_s, requested)
            await self.monitors[source].execute("cont")
            return answer

    monkeypatch.setattr(labs, "QemuInstance", Split)
    _, judgement = await judged(up, tmp_path)
    said = bad(judgement)
    assert judgement.verdict == "two copies"
    assert {said[witness].verdict for witness in ("hypervisors", "frames")} == {"two copies"}
    ran = said["hypervisors"]
    assert ran.from_s is not None
    assert ran.until_s is not None
    assert ran.until_s - ran.from_s > 3, "as long as the window after the migration"
    assert "two copies" in {said[w].verdict for w in ("liveness", "ledger, collector") if w in said}, said


@pytest.mark.soak
async def test_a_copy_of_an_older_state_is_a_forked_counter(
    up: tuple[QemuLab, Images], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest's state is kept, the guest goes on for three seconds and is stopped, and the kept state goes on in its
    place: never two at once, the same boot, and no ledger to tell. Only the counter knows."""

    class Older(QemuInstance):
        async def migrate(self, destination: str, limit_s: float, requested: Requested) -> dict[str, Any]:
            source, there = self.monitors[self.host], self.monitors[destination]
            state = {"uri": f"file:{self.folder / 'state'}"}
            requested()
            await source.execute("migrate", state)
            answer: dict[str, Any] = {}

            async def kept() -> bool:
                answer.update(await source.execute("query-migrate"))
                return bool(answer["status"] == "completed")

            await wait_until(kept, 60, "the state is kept")
            beats = (await self.console()).count("migrascope alive")
            await source.execute("cont")

            async def went_on() -> bool:
                return (await self.console()).count("migrascope alive") >= beats + 3

            await wait_until(went_on, 60, "the guest goes on")
            await source.execute("stop")
            await there.execute("migrate-incoming", state)

            async def runs() -> bool:
                return bool((await self.state(destination))["running"])

            await wait_until(runs, 60, "the older state runs")
            self.host = destination
            return answer

    async def nothing(instance: Instance, destination: str) -> None:
        return

    monkeypatch.setattr(migration, "prepare", nothing)
    monkeypatch.setattr(labs, "QemuInstance", Older)
    _, judgement = await judged(up, tmp_path, verdict={"ledger": 0})
    assert judgement.verdict == "two copies", judgement.text
    assert {statement.witness for statement in judgement.statements if statement.verdict == "two copies"} == {
        "liveness"
    }


async def test_a_store_that_lies_loses_data(
    up: tuple[QemuLab, Images], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It acknowledges what it keeps in an overlay that goes with it."""

    class Lying(Volume):
        def command(self) -> list[str]:
            return ["env", f"TMPDIR={self.path.parent}", *super().command(), "--snapshot"]

    monkeypatch.setattr(instances, "Volume", Lying)
    _, judgement = await judged(up, tmp_path)
    assert judgement.verdict == "data lost", judgement.text
    assert set(bad(judgement)) == {"ledger, volume"}
    assert "acknowledged records are not on the volume: 1-" in judgement.text


def torn(content: bytes) -> bytes:
    """Half of the fifth record never reached the store, which had acknowledged it."""
    start = 4 * RECORD_BYTES
    return content[: start + 32] + bytes(32) + content[start + RECORD_BYTES :]


def replayed(content: bytes) -> bytes:
    """The fifth record once more, after the last."""
    return content.rstrip(b"\0") + content[4 * RECORD_BYTES : 5 * RECORD_BYTES]


def stale(content: bytes) -> bytes:
    """The page as it was before its last words were written."""
    return content[:-20]


@pytest.mark.parametrize(
    ("path", "spoil", "witness", "says"),
    [
        (f"{SITE}/index.html", stale, "files", "1 files are not as they were: /index.html"),
        pytest.param(
            LEDGER, torn, "ledger, volume", "acknowledged records are not on the volume: 5", marks=pytest.mark.soak
        ),
        pytest.param(LEDGER, replayed, "ledger, volume", "records are there twice: 5", marks=pytest.mark.soak),
    ],
    ids=["stale page", "torn record", "replayed record"],
)
async def test_what_a_store_spoils_is_data_lost(
    up: tuple[QemuLab, Images], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    path: str, spoil: Callable[[bytes], bytes], witness: str, says: str,
) -> None:  # fmt: skip
    class Spoiling(Volume):
        async def raw(self, target: Path, host: str) -> None:
            await super().raw(target, host)
            rewrite(target, path, tmp_path / "file", spoil)

    monkeypatch.setattr(instances, "Volume", Spoiling)
    _, judgement = await judged(up, tmp_path)
    assert judgement.verdict == "data lost", judgement.text
    assert set(bad(judgement)) == {witness}
    assert says in judgement.text


def rewrite(disk: Path, path: str, file: Path, spoil: Callable[[bytes], bytes]) -> None:
    """Changes a file on a raw volume, as it is after its journal is replayed."""
    subprocess.run(["e2fsck", "-y", "-E", "journal_only", disk], capture_output=True, check=False)
    subprocess.run(["debugfs", "-R", f"dump {path} {file}", disk], capture_output=True, check=True)
    file.write_bytes(spoil(file.read_bytes()))
    for request in (f"rm {path}", f"write {file} {path}"):
        subprocess.run(["debugfs", "-w", "-R", request, disk], capture_output=True, check=True)


async def test_a_guest_that_restarts_and_answers_again_is_lost(
    up: tuple[QemuLab, Images], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reset on the destination, boots, and serves the website as if nothing had been."""

    class Reset(QemuInstance):
        async def migrate(self, destination: str, limit_s: float, requested: Requested) -> dict[str, Any]:
            answer = await super().migrate(destination, limit_s, requested)
            there = self.monitors[destination]
            await there.execute("set-action", {"reboot": "reset"})
            await there.execute("system_reset")
            return answer

    monkeypatch.setattr(labs, "QemuInstance", Reset)
    _, judgement = await judged(up, tmp_path)
    assert judgement.verdict == "guest lost", judgement.text
    assert "guest lost" in {said.verdict for said in bad(judgement).values()}


@pytest.mark.soak
async def test_a_guest_without_a_ledger_is_unknown(up: tuple[QemuLab, Images], tmp_path: Path) -> None:
    _, judgement = await judged(up, tmp_path, verdict={"ledger": 0})
    assert judgement.verdict == "unknown"
    assert set(bad(judgement)) == {"ledger, collector", "ledger, volume"}


@pytest.mark.soak
async def test_a_guest_that_qemu_7_2_kills_is_lost_and_one_that_lives_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: Kept
) -> None:
    """No plant: QEMU before 9.0 loses writes of an emulated guest after the last sync of its dirty pages, though the
    migration says "completed". An idle guest with a downtime limit of 20 ms dies of it now and then."""
    bookworm = await root_image(replace(HOST, name="host-bookworm", suite="bookworm"))
    images = await prepare(lambda text: None)
    monkeypatch.setattr(parts, "AgentClient", StillGuest)
    said = []
    async with QemuLab.up(bookworm, images.boot, wanted="tcg", program=None) as lab:
        assert lab.facts["qemu"].startswith("7.2.")
        for at in range(MOST_TRIALS):
            recording, judgement = await judged(
                (lab, images),
                tmp_path / str(at),
                axes={"scenario": ["none"], "downtime_limit": ["20ms"]},
                verdict={"ledger": 0},
                visitors={"new_rate": 0, "kept_rate": 0},
                probes={"echo_rate": 20},
            )
            completed = any(event.name == "migrate_done" for event in recording.events)
            incarnation = recording.trial.proof.get("incarnation")
            answers = incarnation is not None and incarnation.verdict == "pass"
            if not completed:
                continue  # one that did not even boot says nothing of migrations
            assert (judgement.verdict == "guest lost") == (not answers), judgement.text
            said.append(f"trial {at + 1}: {judgement.verdict}: {judgement.text}")
            if not answers:
                kept.write("\n".join(said))
                return
    pytest.fail(f"none of {len(said)} guests died")
