"""``mediaserver doctor``."""

import json
from dataclasses import asdict
from typing import Final

from mediaserver.cli.arguments import EXIT_FAILED
from mediaserver.cli.output import quiet_logs
from mediaserver.config import Settings
from mediaserver.doctor import Check, Verdict, examine

_MARKS: Final = {Verdict.OK: "✓", Verdict.WARNING: "!", Verdict.FAILED: "✗"}


async def doctor(settings: Settings, is_json: bool) -> int:
    """Print what was found. The status is 1 if anything failed; warnings do not count."""
    quiet_logs()
    checks = await examine(settings)
    is_ok = all(check.verdict is not Verdict.FAILED for check in checks)
    if is_json:
        rows = [{**asdict(check), "verdict": check.verdict.value} for check in checks]
        print(json.dumps({"ok": is_ok, "checks": rows}))
    else:
        for check in checks:
            print(_line(check))
    return 0 if is_ok else EXIT_FAILED


def _line(check: Check) -> str:
    advice = f"\n    → {check.advice}" if check.advice else ""
    return f"{_MARKS[check.verdict]} {check.name}: {check.detail}{advice}"
