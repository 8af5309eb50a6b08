"""The night's findings name a network as it was named, though a record holds its short name alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from sample_nights import level, nights
from sample_records import trials

from benchbox.gate.formats.words import commands_for
from benchbox.jobs.gate import judge_stored
from benchbox.schema.artifact import BatchRange, OnnxArtifact, TensorSpec
from benchbox.schema.model import Precision
from benchbox.store.artifact_files import write_artifact
from benchbox.store.records import append


def test_a_new_measurement_names_the_file(tmp_path: Path) -> None:
    for entry in nights([*level(20, 1e-3), 1.2e-3, 1.2e-3], flags=()):
        append(tmp_path, dataclasses.replace(entry, key=dataclasses.replace(entry.key, model="net")), trials())
    note_artifact(tmp_path, "/my nets/net.onnx", sha256="a" * 64)
    judged = judge_stored(tmp_path, policy_file=None, against=None, night=None, where=(), warn=print)
    alarm = next(finding for finding in judged.report.findings if finding.is_alarm)
    commands = commands_for(alarm, judged.report)
    assert commands[0].startswith("benchbox history net ")
    assert commands[-1].startswith("benchbox run '/my nets/net.onnx' --backend")


def test_two_networks_under_one_name_are_each_named_by_its_own_file(tmp_path: Path) -> None:
    note_artifact(tmp_path, "/one/net.onnx", sha256="a" * 64)
    note_artifact(tmp_path, "/two/net.onnx", sha256="b" * 64)
    for sha256, macs in (("a" * 64, 1000), ("b" * 64, 2000)):
        for number, entry in enumerate(nights([*level(20, 1e-3), 1.2e-3, 1.2e-3], flags=())):
            assert entry.analytic is not None
            network = dataclasses.replace(
                entry,
                id=f"{entry.id[:-8]}{macs + number:08d}",
                key=dataclasses.replace(entry.key, model="net"),
                onnx_sha256=sha256,
                analytic=dataclasses.replace(entry.analytic, macs=macs),
            )
            append(tmp_path, network, trials())
    judged = judge_stored(tmp_path, policy_file=None, against=None, night=None, where=(), warn=print)
    alarms = [finding for finding in judged.report.findings if finding.is_alarm]
    asked = sorted(commands_for(alarm, judged.report)[-1].split()[2] for alarm in alarms)
    assert asked == ["/one/net.onnx", "/two/net.onnx"]


def note_artifact(root: Path, source: str, *, sha256: str) -> None:
    spec = TensorSpec(name="x", dtype="float32", shape=(None, 3))
    artifact = OnnxArtifact(
        model="net", source=source, precision=Precision.FP32, opset=20, path=source, sha256=sha256, size_bytes=1,
        params=None, batch=BatchRange(), inputs=(spec,), outputs=(spec,), exporter="", evaluator="", expected_by="",
        expected_path=None, outputs_path=None, expected_samples=0, seed=0, recipe=sha256, hops=(),
    )  # fmt: skip
    write_artifact(artifact, root, expected=None, outputs=None)
