"""How users see their own accounts: the answer to signing in, and to GET /users/me."""

from datetime import datetime
from uuid import UUID

from control_api.identity.ports import EmptyWallets, Wallets
from control_api.routing import PREFIX
from control_api.schemas import Data
from storage.repositories.credentials import Credential


class WalletView(Data):
    """Whole coins and gems."""

    coins: int
    gems: int


class AccountView(Data):
    """``avatar`` is an address, or null; ``verified`` says whether the user reads mail to ``email``."""

    id: UUID
    username: str
    email: str
    display_name: str
    avatar: str | None
    bio: str
    verified: bool
    role: str
    is_creator: bool
    created_at: datetime
    wallet: WalletView


class AccountViews:
    def __init__(self, wallets: Wallets | None = None) -> None:
        self._wallets = wallets or EmptyWallets()

    async def of(self, user: Credential) -> AccountView:
        balance = await self._wallets.balance_of(user.id)
        return AccountView(
            id=user.id,
            username=user.username,
            email=user.email,
            display_name=user.display_name,
            avatar=avatar_address(user.avatar),
            bio=user.bio,
            verified=user.email_verified_at is not None,
            role=user.role.value,
            is_creator=user.is_creator,
            created_at=user.created_at,
            wallet=WalletView(coins=balance.coins, gems=balance.gems),
        )


def avatar_address(avatar: str | None) -> str | None:
    """Where the object named ``avatar`` is."""
    return f"{PREFIX}/avatars/{avatar}" if avatar else None
