"""The bench's one exception: its message is the line the user sees."""


class BenchError(Exception):
    """A run that cannot start or go on; the text names the option, address or file at fault."""
