"""Where a payer comes back to from the provider's page. Whoever comes there has not paid for that reason."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReturnAddresses:
    """Below ``base_url``, which is this server's."""

    base_url: str

    @property
    def success(self) -> str:
        return f"{self.base_url}/?purchase=done"

    @property
    def cancelled(self) -> str:
        return f"{self.base_url}/?purchase=cancelled"
