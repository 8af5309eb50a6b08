"""Calibration data: pictures, arrays and synthetic inputs, and everything that can be wrong with them.

The pictures are made here, of noise with the spectrum of natural scenes (amplitude falls as 1 / frequency) and coloured
discs: real files through a real decoder, but not photographs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchbox.errors import ArtifactError, UsageError
from benchbox.export.precision.samples import MOST_SAMPLES, SYNTHETIC_SAMPLES, CalibrationData, data_from_choice
from benchbox.models.pictures.images import recipe_from_source
from benchbox.models.sources import resolve
from benchbox.schema.artifact import TensorSpec
from benchbox.stats.inputs import seeded_arrays

LENET = resolve("lenet5", input_shape=None, weights=None)
RESNET = resolve("resnet18", input_shape=None, weights=None)
DIGITS = (TensorSpec(name="input", dtype="float32", shape=(None, 1, 28, 28)),)
PICTURES = (TensorSpec(name="input", dtype="float32", shape=(None, 3, 224, 224)),)


def scene(seed: int, width: int = 300, height: int = 260) -> np.ndarray:
    """A picture (height, width, 3) of uint8."""
    draw = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    spectrum = np.fft.fft2(draw.standard_normal((height, width))) / np.maximum(frequency, 1 / width)
    noise = np.real(np.fft.ifft2(spectrum))
    grey = (noise - noise.min()) / (noise.max() - noise.min())
    picture = grey[..., None] * draw.uniform(0.5, 1.0, 3)
    rows, columns = np.mgrid[:height, :width]
    for _ in range(3):
        y, x, radius = draw.uniform(0, height), draw.uniform(0, width), draw.uniform(10, 60)
        picture[np.hypot(rows - y, columns - x) < radius] = draw.uniform(0, 1, 3)
    return (picture * 255).astype(np.uint8)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "album" / "inside"
    folder.mkdir(parents=True)
    for number in range(5):
        image.fromarray(scene(number)).save(folder / f"{number}.{'jpg' if number % 2 else 'png'}")
    return folder.parent


def loaded(data: CalibrationData) -> list[dict[str, np.ndarray]]:
    return [dict(sample) for sample in data.load()]


def test_synthetic_samples_are_seeded_and_not_the_checked_ones() -> None:
    data = data_from_choice(None, source=LENET, inputs=DIGITS, seed=3)
    assert data.synthetic
    assert "synthetic" in data.text
    samples = loaded(data)
    assert len(samples) == data.samples == SYNTHETIC_SAMPLES
    assert (samples[0]["input"] == loaded(data)[0]["input"]).all()
    checked = seeded_arrays(DIGITS, seed=3, samples=8)["input"]
    assert not any((sample["input"] == other).all() for sample in samples for other in checked)
    assert data.digest != data_from_choice(None, source=LENET, inputs=DIGITS, seed=4).digest


def test_pictures_go_through_the_networks_recipe(album: Path) -> None:
    data = data_from_choice(str(album), source=RESNET, inputs=PICTURES, seed=0)
    assert not data.synthetic
    assert data.samples == 5
    samples = loaded(data)
    assert all(sample["input"].shape == (3, 224, 224) for sample in samples)
    assert all(sample["input"].dtype == np.float32 for sample in samples)
    again = data_from_choice(str(album), source=RESNET, inputs=PICTURES, seed=9)
    assert again.digest == data.digest
    (album / "inside" / "4.png").unlink()
    assert data_from_choice(str(album), source=RESNET, inputs=PICTURES, seed=0).digest != data.digest


def test_recipe_against_its_definition(tmp_path: Path) -> None:
    """A picture of the size that is cropped from is only cropped and normalised: plain numpy tells the answer."""
    image = pytest.importorskip("PIL.Image")
    picture = scene(1, 256, 256)
    image.fromarray(picture).save(tmp_path / "exact.png")
    made = recipe_from_source(RESNET, (3, 224, 224)).array_from_file(tmp_path / "exact.png")
    crop = picture[16:240, 16:240].astype(np.float64) / 255
    expected = ((crop - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(2, 0, 1)
    assert np.abs(made - expected).max() < 1e-5


@pytest.mark.parametrize("size", [(640, 200), (50, 400), (1, 1), (224, 224)])
def test_every_shape_of_picture_fills_the_input(size: tuple[int, int], tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("RGBA", size, (255, 0, 0, 255)).save(tmp_path / "red.png")
    made = recipe_from_source(RESNET, (3, 224, 224)).array_from_file(tmp_path / "red.png")
    assert made.shape == (3, 224, 224)
    assert np.allclose(made[0], (1 - 0.485) / 0.229)
    assert np.allclose(made[1:, 0, 0], [-0.456 / 0.224, -0.406 / 0.225])


def test_digits_are_grey(album: Path) -> None:
    samples = loaded(data_from_choice(str(album), source=LENET, inputs=DIGITS, seed=0))
    assert samples[0]["input"].shape == (1, 28, 28)


def test_arrays_one_by_one_or_stacked(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((6, 1, 28, 28)).astype(np.float32)
    np.save(tmp_path / "a.npy", values[0])
    np.save(tmp_path / "b.npy", values[1:4])
    np.savez(tmp_path / "c.npz", input=values[4:])
    data = data_from_choice(str(tmp_path), source=LENET, inputs=DIGITS, seed=0)
    assert data.samples == 6
    assert (np.stack([sample["input"] for sample in loaded(data)]) == values).all()
    alone = data_from_choice(str(tmp_path / "b.npy"), source=LENET, inputs=DIGITS, seed=0)
    assert alone.samples == 3


def test_batches_hold_every_sample(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1) * np.ones((5, 1, 28, 28), "f"))
    data = data_from_choice(str(tmp_path), source=LENET, inputs=DIGITS, seed=0)
    firsts = [batch["input"][:, 0, 0, 0].tolist() for batch in data.batches(4)]
    assert firsts == [[0, 1, 2, 3], [4, 0, 1, 2]]


def test_a_large_set_is_spread_evenly(tmp_path: Path) -> None:
    count = 2 * MOST_SAMPLES
    np.save(tmp_path / "a.npy", np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones((1, 1, 28, 28), "f"))
    data = data_from_choice(str(tmp_path), source=LENET, inputs=DIGITS, seed=0)
    assert data.samples == MOST_SAMPLES
    assert f"{MOST_SAMPLES} of {count}" in data.text
    assert [sample["input"][0, 0, 0] for sample in loaded(data)][:3] == [0, 2, 4]


def broken(folder: Path, kind: str) -> None:
    good = np.zeros((2, 1, 28, 28), dtype=np.float32)
    if kind == "nan":
        good[1, 0, 3, 3] = np.nan
        np.save(folder / "a.npy", good)
    elif kind == "infinite":
        good[1, 0, 3, 3] = np.inf
        np.savez(folder / "a.npz", input=good)
    elif kind == "shape":
        np.save(folder / "a.npy", good[..., :20])
    elif kind == "words":
        np.save(folder / "a.npy", np.full((2, 1, 28, 28), "word"))
    elif kind == "none":
        np.save(folder / "a.npy", good[:0])
    elif kind == "truncated":
        np.save(folder / "a.npy", good)
        (folder / "a.npy").write_bytes((folder / "a.npy").read_bytes()[:200])
    elif kind == "pickled":
        np.save(folder / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif kind == "other inputs":
        np.savez(folder / "a.npz", one=good, two=good)
    elif kind == "not an image":
        (folder / "a.jpg").write_text("not an image")
    elif kind == "half an image":
        image = pytest.importorskip("PIL.Image")
        image.fromarray(scene(0)).save(folder / "a.png")
        (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:5000])


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("nan", ArtifactError, "not finite"),
        ("infinite", ArtifactError, "not finite"),
        ("shape", ArtifactError, "does not fit input"),
        ("words", ArtifactError, "does not fit input"),
        ("none", ArtifactError, "number of samples"),
        ("truncated", ArtifactError, "not a readable array file"),
        ("pickled", ArtifactError, "not a readable array file"),
        ("other inputs", ArtifactError, "lacks inputs"),
        ("not an image", ArtifactError, "not a readable picture"),
        ("half an image", ArtifactError, "not a readable picture"),
        ("empty", UsageError, "nothing to calibrate on"),
    ],
)
def test_bad_data_is_named(kind: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    broken(tmp_path, kind)
    with pytest.raises(error, match=message) as caught:
        loaded(data_from_choice(str(tmp_path), source=LENET, inputs=DIGITS, seed=0))
    assert str(tmp_path) in str(caught.value)


def test_missing_data_and_networks_without_pictures(tmp_path: Path, album: Path) -> None:
    with pytest.raises(UsageError, match="no calibration data"):
        data_from_choice(str(tmp_path / "gone"), source=LENET, inputs=DIGITS, seed=0)
    rows = (TensorSpec(name="input", dtype="float32", shape=(None, 10)),)
    with pytest.raises(ArtifactError, match="does not take pictures"):
        data_from_choice(str(album), source=LENET, inputs=rows, seed=0)
    with pytest.raises(UsageError, match="several inputs"):
        data_from_choice(str(album), source=LENET, inputs=(*DIGITS, *rows), seed=0)


def test_arrays_are_counted_without_their_data_and_loaded_once_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", input=np.zeros((3, 1, 28, 28), np.float32))
    loaded: list[str] = []
    opened: list[np.lib.npyio.NpzFile] = []
    real = np.load

    def counted(file: Path, **options: bool) -> np.lib.npyio.NpzFile:
        loaded.append(file.name)
        opened.append(real(file, **options))
        return opened[-1]

    monkeypatch.setattr(np, "load", counted)
    data = data_from_choice(str(tmp_path), source=LENET, inputs=DIGITS, seed=0)
    assert (data.samples, loaded) == (6, [])
    samples = data.load()
    next(samples)
    assert (loaded, [file.zip for file in opened]) == (["a.npz"], [None]), "closed as soon as it is read"
    assert len(list(samples)) == 5
    assert loaded == ["a.npz", "b.npz"]
