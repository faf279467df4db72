"""The server and its database, which may be a daemon and then is no child of the server's."""

from bench.measure.sampling import ServerProbe, Share, Usage


class ChatProbe(ServerProbe):
    """``database_pid`` is None for a database that is elsewhere, or a child of the server's."""

    def __init__(self, pid: int, database_pid: int | None) -> None:
        super().__init__(pid)
        self._database = ServerProbe(database_pid) if database_pid is not None else None

    def read(self) -> dict[Share, Usage]:
        shares = super().read()
        if self._database is not None:
            shares[Share.DATABASE] = self._database.read()[Share.DATABASE]
        return shares
