"""The command `qos`: what it prints, pipes, options."""

import json
import signal
from pathlib import Path

import pytest

from captures import classic
from migrascope.cli import qos as qos_command
from migrascope.cli.qos import qos
from migrascope.model.problem import UsageProblem
from talks import CLIENT, SERVER, echoes


def test_the_command_prints_a_table_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "capture.pcap"
    path.write_bytes(classic(list(echoes({5}, 4)), nano=True))
    assert qos(path) == 0
    told = capsys.readouterr().out
    assert "199 packets" in told
    assert "1.00" in told or "1 %" in told
    assert qos(path, window="500ms", server=SERVER, json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["window_s"], len(found["flows"])) == (2, 0.5, 1)
    directions = found["flows"][0]["directions"]
    assert [(each["from"], each["to"]) for each in directions] == [
        (f"{CLIENT}:3", f"{SERVER}:3"),
        (f"{SERVER}:3", f"{CLIENT}:3"),
    ]
    assert directions[0]["loss_ratio"]["value"] == pytest.approx(0.01)
    assert len(directions[0]["windows"]) == 20


def test_the_first_interrupt_ends_the_writer_of_a_pipe_and_the_second_one_the_reading() -> None:
    before = signal.getsignal(signal.SIGINT)
    with qos_command._until_its_writer_ends(Path("-")):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [({"window": "1"}, "--window"), ({"window": "1ns"}, "--window"), ({"server": "example.org"}, "not an IP address")],
)
def test_a_wrong_option_is_said(tmp_path: Path, options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageProblem, match=words):
        qos(tmp_path / "any", **options)  # type: ignore[arg-type]
