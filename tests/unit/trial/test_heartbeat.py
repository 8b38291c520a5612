"""Which guest it is that lives on the console."""

from typing import Any, cast

import pytest

from migrascope.trial import post_checks

OURS, OTHER = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"


class Console:
    """An instance whose console says one line more each time it is asked, to the last."""

    def __init__(self, lines: list[str]) -> None:
        self.lines, self.asked = lines, 0

    async def console(self) -> str:
        self.asked = min(self.asked + 1, len(self.lines))
        return "".join(self.lines[: self.asked])


@pytest.mark.parametrize(
    ("lines", "verdict", "words"),
    [
        ([f"migrascope alive 7 {OURS}\n", f"migrascope alive 8 {OURS}\n"], "pass", "it goes on"),
        ([f"migrascope alive 7 {OURS}\n", f"migrascope alive 1 {OTHER}\n"], "fail", f"another boot, {OTHER}"),
        ([f"migrascope alive 7 {OURS}\n", "migrascope ali"], "fail", "silent on its console"),
        ([f"migrascope alive 7 {OURS}\n", f"migrascope alive 8 {OURS[:9]}"], "pass", "it goes on"),
        (["login:\n"], "fail", "silent on its console"),
    ],
)
async def test_a_beat_names_its_boot(
    lines: list[str], verdict: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post_checks, "_BEAT_LIMIT_S", 0.3)
    found = await post_checks._heartbeat(cast(Any, Console(lines)), OURS)
    assert found.verdict == verdict
    assert words in found.evidence
