"""The processor's counters in a powercap tree made by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchbox.machine.energy_counter import CounterLostError, CounterResetError, Gauge
from benchbox.machine.rapl import POWERCAP, powercap_root, rapl_gauge

RANGE_UJ = 262_143_328_850


def zone(root: Path, name: str, kind: str, energy_uj: int, range_uj: int | None = RANGE_UJ) -> Path:
    """One domain as the kernel shows it."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{kind}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    if range_uj is not None:
        (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder


def show(folder: Path, energy_uj: int) -> None:
    (folder / "energy_uj").write_text(f"{energy_uj}\n")


def test_packages_are_added_and_memory_stands_beside(tmp_path: Path) -> None:
    packages = [zone(tmp_path, f"intel-rapl:{number}", f"package-{number}", 1000 * number) for number in (0, 1)]
    memories = [zone(tmp_path, f"intel-rapl:{number}:2", "dram", 50) for number in (0, 1)]
    core = zone(tmp_path, "intel-rapl:0:0", "core", 7)
    psys = zone(tmp_path, "intel-rapl:2", "psys", 7)
    again = zone(tmp_path, "intel-rapl-mmio:0", "package-0", 7)
    with rapl_gauge(root=tmp_path) as gauge:
        assert isinstance(gauge, Gauge)
        (memory,) = gauge.beside
        assert (gauge.counter.scope, memory.scope) == ("cpu_package", "dram")
        assert gauge.counter.read_j() == 0.0
        for folder in (*packages, core, psys, again):
            show(folder, 3_000_000)
        for folder in memories:
            show(folder, 250_050)
        assert gauge.counter.read_j() == pytest.approx(6.0 - 0.001)
        assert memory.read_j() == pytest.approx(0.5)
        assert str(tmp_path) in gauge.name


def test_a_counter_that_goes_round_goes_on(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 2_000_000)
    with rapl_gauge(root=tmp_path) as gauge:
        assert isinstance(gauge, Gauge)
        assert gauge.counter.read_j() == 0.0
        show(package, 1_500_000)
        assert gauge.counter.read_j() == pytest.approx(3.5)
        show(package, 2_500_000)
        assert gauge.counter.read_j() == pytest.approx(4.5)


@pytest.mark.parametrize(("before_uj", "range_uj"), [(5_000_000, RANGE_UJ), (RANGE_UJ - 5, None)])
def test_a_fall_that_is_no_round_is_a_reset(tmp_path: Path, before_uj: int, range_uj: int | None) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", before_uj, range_uj)
    with rapl_gauge(root=tmp_path) as gauge:
        assert isinstance(gauge, Gauge)
        show(package, 100)
        with pytest.raises(CounterResetError, match="went backwards"):
            gauge.counter.read_j()
        show(package, 1_000_100)
        assert gauge.counter.read_j() == pytest.approx(1.0), "it counts on from where it fell to"


def test_a_counter_that_is_lost_says_so(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1)
    with rapl_gauge(root=tmp_path) as gauge:
        assert isinstance(gauge, Gauge)
        (package / "energy_uj").write_text("")
        with pytest.raises(CounterLostError, match="energy_uj cannot be read"):
            gauge.counter.read_j()


def test_files_are_closed_again(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 1)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with rapl_gauge(root=tmp_path):
        assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_without_counters_the_reason_is_given(tmp_path: Path) -> None:
    with rapl_gauge(root=tmp_path / "absent") as reason:
        assert isinstance(reason, str)
        assert "are not at" in reason
    zone(tmp_path, "intel-rapl:0", "psys", 1)
    with rapl_gauge(root=tmp_path) as reason:
        assert isinstance(reason, str)


def test_counters_for_root_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel answers since 2020; tests may themselves run as root, so the refusal is made here."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1)

    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    with rapl_gauge(root=tmp_path) as reason:
        assert isinstance(reason, str)
        assert reason.startswith(str(package / "energy_uj"))
        assert "only root" in reason


def test_a_domain_that_cannot_be_opened(tmp_path: Path) -> None:
    (zone(tmp_path, "intel-rapl:0", "package-0", 1) / "energy_uj").unlink()
    with rapl_gauge(root=tmp_path) as reason:
        assert isinstance(reason, str)
        assert "No such file" in reason


def test_the_tree_may_lie_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCHBOX_POWERCAP", raising=False)
    assert powercap_root() == POWERCAP
    monkeypatch.setenv("BENCHBOX_POWERCAP", "/host/powercap")
    assert powercap_root() == Path("/host/powercap")
