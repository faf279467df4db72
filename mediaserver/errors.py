"""Why the server or a command cannot do its work; the message is one line for whoever started it."""


class StartError(Exception):
    """Something the server needs is not there or not usable."""


class AccountError(Exception):
    """A user, room or key cannot be made or changed as asked."""
