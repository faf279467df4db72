"""Where a payer comes back to from the provider's page. Whoever comes there has not paid for that reason."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReturnAddresses:
    """Below ``base_url``, which is this server's. ``what`` was to be paid for."""

    base_url: str
    what: str = "purchase"

    @property
    def success(self) -> str:
        return f"{self.base_url}/?{self.what}=done"

    @property
    def cancelled(self) -> str:
        return f"{self.base_url}/?{self.what}=cancelled"
