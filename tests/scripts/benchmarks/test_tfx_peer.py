from __future__ import annotations

import sys
from pathlib import Path

import pytest

from components.runtime.errors import InputError
from scripts.benchmarks import bench, tfx_peer
from scripts.benchmarks.tfx_peer import Measured, Part, Run
from tests.support import ROOT


def run(seconds: float, *parts: Part) -> Run:
    return Run(seconds, 2 * seconds, 1_500_000_000, list(parts))


def measured(rows: int, seconds: float = 60.0, load: float = 0.6) -> Measured:
    tfx = run(seconds, Part("imports", 9.5, 8.0, 900_000_000), Part("Trainer", 6.484, 4.97, 1_256_000_000))
    ours = run(12.0, Part("train", 3.3, None, 600_000_000), Part("notify", 0.01, None, 100_000_000))
    return Measured(rows, ours, tfx, "TFX 1.16.0 on Python 3.10.13", "2026-11-30, 2 cores", load)


def test_the_tables_of_the_page_are_those_of_the_kept_results() -> None:
    written = bench.PAGE.read_text().partition(bench.TFX_BEGIN)[2].partition(bench.TFX_END)[0].strip()
    kept = tfx_peer.results(tfx_peer.RESULTS)
    assert kept
    assert written == tfx_peer.tables(kept)


def test_what_was_kept_has_every_component_beside_the_stage_that_does_the_same() -> None:
    for each in tfx_peer.results(tfx_peer.RESULTS):
        assert {part.name for part in each.tfx.parts} == {"imports", *tfx_peer.PEERS}
        assert set(tfx_peer.PEERS.values()) <= {part.name for part in each.ours.parts}
        # The components are one after the other, in the one process that was measured.
        assert 0.8 * each.tfx.seconds < sum(part.seconds for part in each.tfx.parts) < each.tfx.seconds
        assert sum(part.processors or 0 for part in each.tfx.parts) < each.tfx.processors


def test_stages_stand_beside_their_peers_and_nothing_unmeasured_is_0() -> None:
    table = tfx_peer.tables([measured(10_000)])
    assert "| imports | 9.50 | 8.00 | 0.90 |  |  |  |" in table
    assert "| Trainer, train | 6.48 | 4.97 | 1.26 | 3.30 |  | 0.60 |" in table
    assert "| notify |  |  |  | 0.01 |  | 0.10 |" in table
    assert "| **the whole process** | 60.0 | 120.0 | 1.50 | 12.0 | 24.0 | 1.50 |" in table
    assert "TFX 1.16.0 on Python 3.10.13; 2026-11-30, 2 cores, load average 0.6 for each processor" in table
    assert "Other work shared the machine" in tfx_peer.tables([measured(10_000, load=5.0)])
    assert "TFX takes 5.0 times as long, and 5.0 times the processors' seconds." in table


def test_a_later_result_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    for rows, seconds in ((100_000, 1.0), (10_000, 2.0), (100_000, 3.0)):
        tfx_peer.keep(file, measured(rows, seconds))
    assert tfx_peer.results(file) == [measured(10_000, 2.0), measured(100_000, 3.0)]


def test_what_fails_is_told_with_its_last_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(InputError, match=rf"^TFX, 5 rows failed: no such thing; its log is {log}$"):
        tfx_peer._measured("TFX, 5 rows", [sys.executable, "-c", "import sys; sys.exit('no such thing')"], log)


def test_a_python_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tfx_peer.main(["--python", str(tmp_path / "python")]) == 65
    assert (
        f"{tmp_path / 'python'}: there is no such Python; make bench-tfx makes its environment"
        in capsys.readouterr().err
    )


def test_the_lock_is_of_the_version_that_was_measured() -> None:
    lock = (ROOT / "images" / "locks" / "tfx.txt").read_text()
    for each in tfx_peer.results(tfx_peer.RESULTS):
        assert f"\ntfx=={each.versions.split()[1]} " in lock, each.versions
