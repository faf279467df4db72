"""What a page of a room loads: `rtc_room.js`, the code of docs/rtc-protocol.md and npm's mediasoup-client."""

import os
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def build_bundle(folder: Path) -> bytes:
    """All of it in one script, made in `folder`."""
    document = (HERE.parents[1] / "docs" / "rtc-protocol.md").read_text(encoding="utf-8")
    documented, script = folder / "documented.js", folder / "room.js"
    documented.write_text(re.findall(r"^```js\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)[0])
    command = (
        HERE / "node_modules" / ".bin" / "esbuild",
        HERE / "rtc_room.js",
        "--bundle",
        "--log-level=error",
        f"--alias:documented={documented}",
        f"--outfile={script}",
    )
    environment = {**os.environ, "NODE_PATH": str(HERE / "node_modules")}
    subprocess.run(command, env=environment, check=True, timeout=60)
    return script.read_bytes()
