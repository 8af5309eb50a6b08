"""How does an image file become a network's input?

The evaluation recipe of its family: decode, resize the shorter side, crop the centre, scale to [0, 1], normalise.
Pillow decodes and resizes (bilinear, with antialiasing), as torchvision's reference recipes do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchbox.errors import ArtifactError, EnvironmentLackError
from benchbox.schema.model import ModelSource, SourceKind

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})
# The crop is 0.875 of the shorter side, 224 of 256, unless the network's own recipe says otherwise.
CROP_SHARE = 0.875
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CENTRED = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_MNIST = ((0.1307,), (0.3081,))
# Families whose published weights were trained with another mean and deviation than ImageNet's.
_NORMALISATIONS = {"inception_v4": _CENTRED}


@dataclass(frozen=True, kw_only=True)
class ImageRecipe:
    """How a picture becomes an input of (channels, height, width); mean and deviation per channel, of [0, 1]."""

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    crop_share: float = CROP_SHARE

    @property
    def text(self) -> str:
        """The recipe in one line, for records and hashes."""
        return (
            f"resize shorter side to {self._resized(self.width)}x{self._resized(self.height)}, centre crop "
            f"{self.width}x{self.height}, {self.channels} channels, mean {self.mean}, deviation {self.deviation}"
        )

    def _resized(self, size: int) -> int:
        return round(size / self.crop_share)

    def array_from_file(self, path: Path) -> np.ndarray:
        """The picture as float32 (channels, height, width).

        Raises:
            EnvironmentLackError: Pillow is not installed.
            ArtifactError: the file is not a readable picture.
        """
        try:
            from PIL import Image
        except ImportError as error:
            raise EnvironmentLackError(
                "pictures need Pillow", values=str(error), remedy="pip install 'benchbox[images]'"
            ) from error
        try:
            with Image.open(path) as opened:
                picture = opened.convert("L" if self.channels == 1 else "RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ArtifactError(
                f"{path} is not a readable picture",
                values=f"{type(error).__name__}: {error}",
                remedy="remove it from the folder, or save it again as JPEG or PNG",
            ) from error
        wide, high = self._resized(self.width), self._resized(self.height)
        factor = max(wide / picture.width, high / picture.height)
        size = (max(wide, round(picture.width * factor)), max(high, round(picture.height * factor)))
        left, top = (size[0] - self.width) // 2, (size[1] - self.height) // 2
        picture = picture.resize(size, Image.Resampling.BILINEAR)
        picture = picture.crop((left, top, left + self.width, top + self.height))
        array = np.asarray(picture, dtype=np.float32).reshape(self.height, self.width, self.channels) / 255
        normalised = (array - np.array(self.mean, np.float32)) / np.array(self.deviation, np.float32)
        return np.ascontiguousarray(normalised.transpose(2, 0, 1), dtype=np.float32)


def recipe_from_source(source: ModelSource, shape: tuple[int, ...]) -> ImageRecipe:
    """The recipe of a network for one input shape without the batch.

    Raises:
        ArtifactError: the input does not have the shape of a picture.
    """
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ArtifactError(
            f"{source.name} does not take pictures",
            values=f"its input is {'x'.join(map(str, shape))} without the batch",
            remedy="give arrays instead: .npy or .npz files",
        )
    channels, height, width = shape
    mean, deviation = _IMAGENET if channels == 3 else _MNIST
    if source.kind is SourceKind.ZOO:
        from benchbox.models.zoo.zoo import spec

        mean, deviation = _NORMALISATIONS.get(spec(source.reference).family, (mean, deviation))
    # Digits fill their picture: nothing is cropped.
    share = 1.0 if channels == 1 else CROP_SHARE
    return ImageRecipe(channels=channels, height=height, width=width, mean=mean, deviation=deviation, crop_share=share)


def picture_files(folder: Path) -> tuple[Path, ...]:
    """The pictures under a folder and its subfolders, by their suffix, in the order of their paths."""
    return tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()))
