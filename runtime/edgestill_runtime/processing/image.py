"""Images: any photo, frame or array → pixels of the model's size. The order of the steps is part of the arithmetic.

1. turned as its EXIF orientation says;
2. 16 bits a channel become 8: the upper eight. Float and other integers are refused;
3. what is transparent is laid over `ground`: `(colour · a + ground · (255 - a) + 127) // 255`;
4. to the model's colours: grey is `(19595 R + 38470 G + 7471 B + 32768) >> 16` (ITU-R 601), as in Pillow; RGB of grey
   is the same value three times;
5. resized: resizing.py.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .arrays import checked
from .base import Processor
from .values import PixelArray

if TYPE_CHECKING:
    from .pictures import Picture

Resize = Literal["crop", "letterbox", "stretch"]
RESIZES = ("crop", "letterbox", "stretch")
FILTERS = ("bilinear", "bicubic")
_TURNS = (5, 6, 7, 8)  # orientations that exchange height and width


@dataclass(frozen=True)
class ImageProcessor(Processor):
    """How an image becomes what a model was trained on.

    An image is a path, the bytes of an encoded file, an open one, a PIL image, a `Picture`, or an array of any size,
    uint8 or uint16: (H, W) or (H, W, 1) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB, (H, W, 4) RGBA. Encoded files
    need Pillow.

    Args:
        height, width, mean, std: see `Processor`; one channel is grey, three are RGB.
        resize: `crop` takes the largest part in the middle that has the model's proportions; `letterbox` all of it,
            with bars of `fill` at the sides; `stretch` all of it, with other proportions.
        filter: `bilinear` or `bicubic`, antialiased: see resizing.py.
        crop_share: with `crop`, the share of that part's sides that is kept, above 0 to 1; timm's `crop_pct`.
        ground: 0–255, the grey on which transparent images are laid. fill: 0–255, of the bars.
    """

    resize: str = "crop"
    filter: str = "bilinear"
    crop_share: float = 1.0
    ground: int = 255
    fill: int = 114

    kind: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels not in (1, 3):
            raise InputError(f"an image has 1 (grey) or 3 (RGB) channels; mean and std have {self.channels} values")
        for name, value, valid in (("resize", self.resize, RESIZES), ("filter", self.filter, FILTERS)):
            if value not in valid:
                raise InputError(f"{name} must be one of {', '.join(valid)}, not {value!r:.40}")
        if not 0 < self.crop_share <= 1:
            raise InputError(f"crop_share must be above 0 and at most 1, not {self.crop_share}")
        for name, level in (("ground", self.ground), ("fill", self.fill)):
            if not 0 <= level <= 255:
                raise InputError(f"{name} must be 0 to 255, not {level}")

    @property
    def summary(self) -> str:
        """See `Processor`."""
        colours = "grey" if self.channels == 1 else "RGB"
        size = f"{self.image_shape} (height, width, channels)"
        return f"photos of any size ({self.resize}, {self.filter}), as {colours} {size}"

    def _one(self, source: Any, rate: int | None) -> PixelArray:
        from .pictures import Picture, read_picture  # what is ready needs neither these nor resizing.py

        picture = Picture(checked(source)) if isinstance(source, np.ndarray) else read_picture(source)
        return self._fit(self._colours(_opaque(_eight_bits(_upright(picture)), self.ground)))

    def _colours(self, image: PixelArray) -> PixelArray:
        channels = image.shape[2]
        if channels == self.channels:
            return image
        if channels == 1:
            return np.repeat(image, 3, axis=2)
        red, green, blue = (image[..., channel].astype(np.int32) for channel in range(3))
        return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).astype(np.uint8)[..., None]

    def _fit(self, image: PixelArray) -> PixelArray:
        from .resizing import resized

        height, width = image.shape[:2]
        whole = (0.0, 0.0, float(width), float(height))
        if self.resize == "stretch":
            return resized(image, self.height, self.width, whole, self.filter)
        if self.resize == "crop":
            return resized(image, self.height, self.width, self._middle(height, width), self.filter)
        # Letterbox, in integers: the longer side is the model's, the other one rounded to the nearest, half upwards.
        if width * self.height >= height * self.width:
            inner = max(1, (2 * height * self.width + width) // (2 * width)), self.width
        else:
            inner = self.height, max(1, (2 * width * self.height + height) // (2 * height))
        result = np.full((self.height, self.width, image.shape[2]), self.fill, np.uint8)
        top, left = (self.height - inner[0]) // 2, (self.width - inner[1]) // 2
        result[top : top + inner[0], left : left + inner[1]] = resized(image, *inner, whole, self.filter)
        return result

    def _middle(self, height: int, width: int) -> tuple[float, float, float, float]:
        """The box of `crop`, in the order of operations of Pillow's `ImageOps.fit`."""
        ratio, target = width / height, self.width / self.height
        across, down = float(width), float(height)
        if ratio > target:
            across = target * height
        elif ratio < target:
            down = width / target
        across, down = across * self.crop_share, down * self.crop_share
        left, top = (width - across) * 0.5, (height - down) * 0.5
        return left, top, left + across, top + down


def _upright(picture: "Picture") -> NDArray[Any]:
    """The pixels as the orientation (EXIF 2.3, tag 0x0112, 1–8) means them to be seen; a view."""
    pixels, orientation = picture.pixels, picture.orientation
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    return pixels.transpose(1, 0, 2) if orientation in _TURNS else pixels


def _eight_bits(pixels: NDArray[Any]) -> PixelArray:
    return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)


def _opaque(image: PixelArray, ground: int) -> PixelArray:
    if image.shape[2] in (1, 3):
        return image
    colours, alpha = image[..., :-1].astype(np.int32), image[..., -1:].astype(np.int32)
    return ((colours * alpha + ground * (255 - alpha) + 127) // 255).astype(np.uint8)
