"""RTMPS takes a renewed certificate at a reload."""

import asyncio
import shutil
import ssl
from pathlib import Path
from typing import cast

import pytest
import structlog

from mediaserver.authorizer import Authorizer
from mediaserver.config.settings import RtmpSettings, RtmpsSettings, Settings
from mediaserver.media_plane import MediaPlane
from storage.bus import Bus
from tests.rtmp.certificates import self_signed


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "current"
    folder.mkdir()
    certificate, key = self_signed(folder)
    return Settings(
        rtmp=RtmpSettings(host="127.0.0.1", port=0),
        rtmps=RtmpsSettings(port=0, certificate_file=certificate, key_file=key),
    )


async def presented(port: int) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with asyncio.timeout(10):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        connection = writer.get_extra_info("ssl_object")
        certificate = cast(bytes, connection.getpeercert(binary_form=True))
        writer.transport.abort()
    return certificate


def replace(settings: Settings, folder: Path) -> None:
    folder.mkdir()
    certificate, key = self_signed(folder)
    shutil.copy(certificate, cast(Path, settings.rtmps.certificate_file))
    shutil.copy(key, cast(Path, settings.rtmps.key_file))


async def test_a_reload_takes_the_renewed_certificate(settings: Settings, tmp_path: Path) -> None:
    media = MediaPlane(settings, cast(Authorizer, None), Bus())
    await media.start(settings)
    assert media.rtmps_port is not None
    before = await presented(media.rtmps_port)
    replace(settings, tmp_path / "renewed")
    media.apply(settings)
    renewed = await presented(media.rtmps_port)
    assert renewed != before
    cast(Path, settings.rtmps.key_file).write_text("rubbish")
    with structlog.testing.capture_logs() as lines:
        media.apply(settings)
    assert [line["event"] for line in lines] == ["certificate_not_renewed"]
    assert await presented(media.rtmps_port) == renewed
    await media.close()
