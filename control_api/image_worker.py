"""One picture, decoded and encoded anew, in a process of its own: bytes on stdin, a WebP on stdout.

Run as ``python -I image_worker.py WIDTH HEIGHT``. Exit status 0, or 3 with the reason on stderr when the
picture is refused; anything else is a decoder that broke on it.

Rules:

* The bytes come from strangers, so that a decoder may hang or eat memory: the system bounds both.
* Only pixels pass: no EXIF, no profile, no text, no second frame. The camera's orientation is applied first.
"""

import io
import resource
import sys
import warnings
from typing import Final

from PIL import Image, ImageOps

FORMATS: Final = ("PNG", "JPEG", "WEBP")
MAX_PIXELS: Final = 24_000_000
MAX_SIDE: Final = 12_000
MAX_INPUT_BYTES: Final = 8 * 1024 * 1024
MEMORY_BYTES: Final = 1024 * 1024 * 1024
CPU_SECONDS: Final = 10
QUALITY: Final = 85
REFUSED: Final = 3


class PictureRefused(Exception):
    """The picture is none, or too large; the message is for whoever sent it."""


_TOO_MANY_PIXELS: Final = PictureRefused(f"has more than {MAX_PIXELS // 1_000_000} million pixels")


def convert(data: bytes, width: int, height: int) -> bytes:
    """``data`` cut to the shape of ``width`` by ``height``, scaled to it, as WebP. Raises PictureRefused."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_size(picture)
            # A JPEG is decoded at a fraction of its size when that is enough.
            picture.draft(None, (width * 2, height * 2))
            picture.load()
            upright = ImageOps.exif_transpose(picture).convert("RGBA")
            fitted = ImageOps.fit(upright, (width, height), Image.Resampling.LANCZOS)
    except PictureRefused:
        raise
    except Image.DecompressionBombError as error:
        raise _TOO_MANY_PIXELS from error
    except MemoryError as error:
        raise PictureRefused("needs too much memory") from error
    except Exception as error:  # what decoders raise on broken data is not documented
        raise PictureRefused("is no PNG, JPEG or WebP that can be read") from error
    return _encoded(fitted)


def _check_size(picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise _TOO_MANY_PIXELS


def _encoded(picture: Image.Image) -> bytes:
    # A new image: what Pillow keeps beside the pixels would be written, too.
    bare = Image.frombytes("RGBA", picture.size, picture.tobytes())
    output = io.BytesIO()
    bare.save(output, "WEBP", quality=QUALITY)
    return output.getvalue()


def main() -> int:
    width, height = (int(argument) for argument in sys.argv[1:3])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    try:
        result = convert(sys.stdin.buffer.read(MAX_INPUT_BYTES), width, height)
    except PictureRefused as refusal:
        sys.stderr.write(str(refusal))
        return REFUSED
    sys.stdout.buffer.write(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
