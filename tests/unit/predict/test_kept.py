"""What a table taught is read back as it was kept, and of that table alone."""

from pathlib import Path

from madetrials import made

from migrascope.predict.baselines import MODELS
from migrascope.predict.conformal import Margin
from migrascope.predict.fit import Fitted, Scope
from migrascope.predict.kept import FILE, SCHEMA, keep, kept
from migrascope.predict.learnt import Learnt
from migrascope.predict.parameters import Parameters
from migrascope.predict.predictor import Figure, Predictor


def taught() -> Learnt:
    scope = Scope.of([made(5e6, 16, 40e6, limit_s, 1).request for limit_s in (0.1, 0.3)])
    fitted = Fitted(MODELS[0], Parameters(0.9, 1.1, 0.02, 4e6, 0.2), scope, 40, frozenset(["one", "other"]))
    margins: dict[Figure, Margin] = {
        "time_s": Margin(0.2, 12),
        "pause_s": Margin(None, 3, "too few"),
        "data_bytes": Margin(0.1, 12),
    }
    return Learnt({"tcg": Predictor(fitted, margins)}, {"kvm": "none"}, frozenset(["here"]), frozenset(["a", "b"]))


def test_it_is_read_back_as_it_was_kept(tmp_path: Path) -> None:
    table = tmp_path / "trials.parquet"
    table.write_bytes(b"rows")
    keep(tmp_path / FILE, taught(), table)
    found = kept(tmp_path / FILE, table)
    assert found == taught() == kept(tmp_path / FILE)
    request = made(5e6, 16, 40e6, 0.3, 1).request
    assert found is not None
    assert found.predict(request) == taught().predict(request)
    assert found.words("here") == "40 trials of 2 cells, tcg, on this machine"


def test_of_another_table_or_broken_it_is_none(tmp_path: Path) -> None:
    table = tmp_path / "trials.parquet"
    table.write_bytes(b"rows")
    path = tmp_path / FILE
    assert kept(path) is None
    keep(path, taught(), table)
    table.write_bytes(b"more rows")
    assert kept(path, table) is None
    text = path.read_text()
    older = text.replace(f'"schema": {SCHEMA}', f'"schema": {SCHEMA - 1}')
    for broken in ("", "[]", "{}", text[:-200], older, text.replace("QEMU", "K")):
        path.write_text(broken)
        assert kept(path) is None
