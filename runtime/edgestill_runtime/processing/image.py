"""Images: a photo, frame or array → pixels of the model's size. The order of the steps affects the result.

1. rotate and flip by the EXIF orientation;
2. 16 bits per channel → 8: the upper eight. Floats and other integers are refused;
3. composite transparent pixels over `ground`: `(color · a + ground · (255 - a) + 127) // 255`;
4. convert to the model's channels: gray is `(19595 R + 38470 G + 7471 B + 32768) >> 16` (ITU-R 601), as in Pillow; gray
   to RGB repeats the value three times;
5. resize: resizing.py.
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
_TURNS = (5, 6, 7, 8)  # orientations that swap height and width


@dataclass(frozen=True)
class ImageProcessor(Processor):
    """Preprocessing of images.

    An image is a path, the bytes of an encoded file, an open file, a PIL image, a `Picture`, or an array of any size,
    uint8 or uint16: (H, W) or (H, W, 1) gray, (H, W, 2) gray and alpha, (H, W, 3) RGB, (H, W, 4) RGBA. Encoded files
    need Pillow.

    Args:
        height, width, mean, std: see `Processor`; one channel is gray, three are RGB.
        resize: `crop` uses the largest centered part with the model's aspect ratio; `letterbox` keeps the whole image
            and its aspect ratio, with bars of `fill`; `stretch` keeps the whole image and changes its aspect ratio.
        filter: `bilinear` or `bicubic`, antialiased: see resizing.py.
        crop_share: with `crop`, the share of that part's height and width that is kept, above 0 to 1; timm's
            `crop_pct`.
        ground: 0–255, gray level behind transparent pixels. fill: 0–255, gray level of the bars.
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
        from .pictures import Picture, read_picture  # not needed for inputs that are `ready`

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
        # Letterbox, in integers: one side is the model's, the other is rounded to the nearest, half up.
        if width * self.height >= height * self.width:
            inner = max(1, (2 * height * self.width + width) // (2 * width)), self.width
        else:
            inner = self.height, max(1, (2 * width * self.height + height) // (2 * height))
        result = np.full((self.height, self.width, image.shape[2]), self.fill, np.uint8)
        top, left = (self.height - inner[0]) // 2, (self.width - inner[1]) // 2
        result[top : top + inner[0], left : left + inner[1]] = resized(image, *inner, whole, self.filter)
        return result

    def _middle(self, height: int, width: int) -> tuple[float, float, float, float]:
        """The box (left, top, right, bottom) of `crop`, with the order of operations of Pillow's `ImageOps.fit`."""
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
    """The pixels rotated and flipped by the orientation (EXIF 2.3, tag 0x0112, 1–8); a view."""
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
