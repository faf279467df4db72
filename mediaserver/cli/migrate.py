"""``mediaserver migrate``."""

from mediaserver.cli.output import quiet_logs
from mediaserver.config import Settings
from mediaserver.data_directory import DataDirectory
from mediaserver.persistence import COMMAND_PATIENCE_SECONDS, connect
from storage.migrating import migrate as apply_migrations


async def migrate(settings: Settings) -> int:
    """Apply what is missing and print the names."""
    quiet_logs()
    async with connect(settings, DataDirectory(settings.data_dir), COMMAND_PATIENCE_SECONDS) as database:
        applied = await apply_migrations(database)
    print("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
    return 0
