"""Which network does torchvision:NAME name?"""

from __future__ import annotations

from typing import Any

import torch

from benchbox.errors import UsageError
from benchbox.models.examples import Example
from benchbox.models.libraries.made import LibraryNetwork, failed, imported, reason_of
from benchbox.registry import suggestion

_USUAL_SIZE, _USUAL_FRAMES = 224, 16


def network_from_torchvision(name: str, *, own_weights: bool) -> LibraryNetwork:
    """A network of torchvision with pictures, or videos, of the size that its weights were trained on.

    Args:
        name: as in ``torchvision.models.list_models()``.
        own_weights: the user has weights for it: none are fetched.

    Raises: as ``network_from_library``.
    """
    torchvision = imported("torchvision", "torchvision")
    known = torchvision.models.list_models()
    if name not in known:
        raise UsageError(
            f"torchvision has no network '{name}'",
            values=suggestion(name, tuple(known)),
            remedy="'python -c \"import torchvision; print(torchvision.models.list_models())\"' lists them",
        )
    published = getattr(torchvision.models.get_model_weights(name), "DEFAULT", None)
    notes: list[str] = []
    module, words = None, ""
    if not own_weights and published is not None:
        try:
            module = torchvision.models.get_model(name, weights=published, progress=False)
            words = f"torchvision {name} {published.name}"
        except Exception as error:  # the network or the file: each has errors of its own
            notes.append(f"its weights could not be fetched, so seeded ones are measured: {reason_of(error)}")
    if module is None:
        torch.manual_seed(0)
        words = f"seeded: initialised by torchvision {torchvision.__version__}"
        try:
            module = torchvision.models.get_model(name, weights=None, **_without_backbone(torchvision, name))
        except Exception as error:
            raise failed(f"torchvision cannot make {name}", error) from error
    generator = torch.Generator().manual_seed(0)
    if ".detection." in type(module).__module__:  # takes a list of pictures, each of a size of its own
        shape, left_open = _detected(module.transform)
        example = Example(args=([torch.rand(shape, generator=generator)],))
        notes.append("it takes a list of pictures, of which one is given: an inference is one picture")
        return LibraryNetwork(
            module=module, example=example, weights=words, notes=tuple(notes), axes=(None,), open={"": left_open}
        )
    shape, left_open = _shape(published, is_video=".video." in type(module).__module__)
    given: tuple[torch.Tensor, ...] = (torch.randn((2, *shape), generator=generator),)
    if ".optical_flow." in type(module).__module__:
        given = (*given, torch.randn((2, *shape), generator=generator))
    return LibraryNetwork(
        module=module,
        example=Example(args=given),
        weights=words,
        notes=tuple(notes),
        axes=(0,) * len(given),
        open={"": left_open},
    )


def _without_backbone(torchvision: Any, name: str) -> dict[str, None]:
    """Networks with a backbone of their own would fetch its weights."""
    import inspect

    parameters = inspect.signature(torchvision.models.get_model_builder(name)).parameters
    return {"weights_backbone": None} if "weights_backbone" in parameters else {}


def _detected(transform: Any) -> tuple[tuple[int, ...], str]:
    """One picture for a detector, and its size in words where the network leaves it open.

    A detector scales what it is given: to one size, or until the shorter side has a length. Of that length a square
    picture stays as it is; torchvision's own figures are those of square ones.
    """
    if transform.fixed_size is not None:
        width, height = transform.fixed_size
        return (3, int(height), int(width)), ""
    side = min(int(transform.min_size[-1]), int(transform.max_size))
    return (3, side, side), f"3x{side}x{side}"


def _shape(published: Any, *, is_video: bool) -> tuple[tuple[int, ...], str]:
    """One picture (3, H, W) or video (3, T, H, W), as the transforms and notes of the weights say.

    Its size in words too, where they say none, or the length of the shorter side alone: then it is square.
    """
    preset = getattr(published, "transforms", None)
    made = preset() if preset is not None else None
    cut = getattr(made, "crop_size", None)
    size = cut or getattr(made, "resize_size", None) or [_USUAL_SIZE]
    sizes = [int(one) for one in (size if isinstance(size, list | tuple) else [size])]
    height, width = (sizes * 2)[:2]
    meta = getattr(published, "meta", {})
    shape: tuple[int, ...]
    if is_video:
        shape = (3, int(meta.get("min_temporal_size", _USUAL_FRAMES)), height, width)
    else:
        least = [max(one, int(low)) for one, low in zip((height, width), meta.get("min_size", (1, 1)), strict=True)]
        shape = (3, *least)
    return shape, "" if cut else "x".join(map(str, shape))
