"""Pictures from strangers: what passes is pixels, what does not is refused within bounds."""

import asyncio
import io
import os
import struct
import zlib
from http import HTTPStatus

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image, PngImagePlugin

from control_api import images
from control_api.errors import ApiError
from control_api.images import MAX_WAITING, PICTURE_TYPES, Images, read_picture


def picture(kind: str = "PNG", size: tuple[int, int] = (90, 60), **options: object) -> bytes:
    output = io.BytesIO()
    Image.new("RGB", size, (200, 10, 10)).save(output, kind, **options)
    return output.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that says it is much larger."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_a_picture_becomes_a_webp_of_the_wanted_size(kind: str) -> None:
    result = Image.open(io.BytesIO(await Images().convert(picture(kind), 512, 512)))
    assert (result.format, result.size) == ("WEBP", (512, 512))
    red, green, *_ = result.convert("RGB").getpixel((256, 256))  # type: ignore[misc]
    assert red > 150 and green < 60


async def test_nothing_but_pixels_passes_and_the_orientation_is_applied() -> None:
    """The left half is red; the camera says that it was turned by 90 degrees (EXIF orientation 6)."""
    source = Image.new("RGB", (100, 100), (0, 0, 200))
    source.paste((200, 0, 0), (0, 0, 50, 100))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "SECRET-CAMERA"
    exif.get_ifd(0x8825)[1] = "N"
    output = io.BytesIO()
    source.save(output, "JPEG", exif=exif, comment=b"SECRET-COMMENT", quality=95)
    assert b"SECRET-CAMERA" in output.getvalue()

    converted = await Images().convert(output.getvalue(), 100, 100)
    assert b"SECRET" not in converted and b"EXIF" not in converted and b"ICCP" not in converted
    result = Image.open(io.BytesIO(converted))
    assert not result.getexif()
    red, _, blue = result.convert("RGB").getpixel((50, 10))  # type: ignore[misc]
    assert red > 150 > 80 > blue


async def test_text_in_a_png_does_not_pass() -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "SECRET")
    assert b"SECRET" not in await Images().convert(picture(pnginfo=texts), 64, 64)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"not a picture", "no PNG"),
        (b"GIF89a" + bytes(50), "no PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no PNG"),
        (picture()[:-30], "no PNG"),
        (picture("JPEG")[:200], "no PNG"),
        (picture("WEBP")[:40], "no PNG"),
        (bomb(50_000, 50_000), "million pixels"),
        (bomb(2**31 - 1, 1), "million pixels"),
        (bomb(0, 0), "no PNG"),
        (bomb(4000, 4000), "no PNG"),
    ],
)
async def test_what_is_no_picture_or_too_large_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ApiError) as refused:
        await Images().convert(data, 64, 64)
    assert refused.value.status == HTTPStatus.BAD_REQUEST
    assert reason in refused.value.message


async def test_a_gif_is_refused_even_if_it_is_a_good_one() -> None:
    with pytest.raises(ApiError, match="no PNG"):
        await Images().convert(picture("GIF"), 64, 64)


async def test_a_picture_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(ApiError, match="too long"):
        await Images(timeout_seconds=0.001).convert(picture(), 64, 64)


async def test_only_a_few_wait() -> None:
    work = Images()
    outcomes = await asyncio.gather(
        *(work.convert(picture(), 64, 64) for _ in range(MAX_WAITING + 2)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, ApiError)]
    assert [error.status for error in refused] == [HTTPStatus.SERVICE_UNAVAILABLE] * 2
    assert len(await work.convert(picture(), 64, 64)) > 0


async def test_a_caller_that_leaves_leaves_no_process() -> None:
    work = Images()
    call = asyncio.create_task(work.convert(picture("PNG", (3000, 3000)), 64, 64))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(await work.convert(picture(), 64, 64)) > 0


async def _upload(data: bytes | None, kind: str = "image/png", chunked: bool = False) -> tuple[int, bytes]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return web.Response(body=await read_picture(request))
        except ApiError as error:
            return web.Response(status=error.status, text=error.code)

    async def pieces() -> object:
        for start in range(0, len(data or b""), 65536):
            yield (data or b"")[start : start + 65536]

    app = web.Application()
    app.router.add_put("/", handle)
    async with TestClient(TestServer(app)) as client:
        body = pieces() if chunked else data
        response = await client.put("/", data=body, headers={"Content-Type": kind})
        return response.status, await response.read()


@pytest.mark.parametrize("kind", PICTURE_TYPES)
async def test_an_upload_is_read_whole(kind: str) -> None:
    data = os.urandom(1_500_000)
    assert await _upload(data, kind) == (200, data)


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_upload_is_read_up_to_its_limit(chunked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    status, body = await _upload(bytes(images.MAX_PICTURE_BYTES + 1), chunked=chunked)
    assert (status, body) == (413, b"body_too_large")


@pytest.mark.parametrize("kind", ["image/gif", "text/html", "application/json", "image/svg+xml"])
async def test_another_type_is_refused(kind: str) -> None:
    assert (await _upload(b"x", kind))[0] == 415


async def test_an_empty_upload_is_refused() -> None:
    assert (await _upload(b""))[0] == 400
