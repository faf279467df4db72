"""What storage raises.

StorageError
├── DatabaseUnavailable      PostgreSQL cannot be reached or does not answer in time: try again later
│   └── EmbeddedPostgresError    the embedded one could not be started; the message says why
├── MigrationError           a migration failed; the database is as it was before that migration
├── Conflict                 a unique value is taken
└── InvalidValue             a value breaks a constraint of its column
"""


class StorageError(Exception):
    """Root of the package's exceptions."""


class DatabaseUnavailable(StorageError):
    """PostgreSQL cannot be reached or did not answer in time."""


class EmbeddedPostgresError(DatabaseUnavailable):
    """The embedded PostgreSQL could not be started or stopped."""


class MigrationError(StorageError):
    """A migration could not be applied."""


class Conflict(StorageError):
    """A unique value is taken; ``constraint`` is the name of the index or constraint that says so."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"already taken: {constraint}")
        self.constraint = constraint


class InvalidValue(StorageError):
    """A value breaks the check or foreign-key ``constraint``."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"not allowed: {constraint}")
        self.constraint = constraint
