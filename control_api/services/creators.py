"""Becoming a creator: a user applies, an administrator decides."""

from typing import Final
from uuid import UUID

from control_api.errors import conflict, not_found
from control_api.pagination import Page, id_in, page_of
from control_api.services.notification_kinds import Kind
from control_api.services.notifications import Notifications
from control_api.services.social import active_profile
from control_api.texts import clean_text
from storage.bus import Bus, UserChanged
from storage.database import Database
from storage.errors import Conflict
from storage.repositories import Users
from storage.repositories.audit import AuditLog
from storage.repositories.creators import ApplicationState, CreatorApplication, CreatorApplications

MAX_TEXT: Final = 2000
MAX_NOTE: Final = 1000


class CreatorService:
    def __init__(self, database: Database, bus: Bus, notifications: Notifications) -> None:
        self._database = database
        self._bus = bus
        self._notifications = notifications

    async def apply(self, user_id: UUID, text: str) -> CreatorApplication:
        """Raises ApiError 409: ``already_creator``, or ``application_pending`` until it is decided."""
        text = clean_text("text", text, MAX_TEXT, shortest=1)
        if (await active_profile(self._database, user_id)).is_creator:
            raise conflict("already_creator", "You are a creator.")
        applications = CreatorApplications(self._database)
        try:
            application_id = await applications.add(user_id, text)
        except Conflict as error:
            raise conflict("application_pending", "Your last application is not decided yet.") from error
        return await self._find(applications, application_id)

    async def queue(
        self, state: ApplicationState, cursor: str | None, limit: int
    ) -> Page[CreatorApplication]:
        """The oldest first."""
        found = await CreatorApplications(self._database).list(state, id_in(cursor), limit + 1)
        return page_of(found, limit, lambda application: (application.id,))

    async def decide(
        self, admin_id: UUID, application_id: UUID, state: ApplicationState, note: str, address: str
    ) -> CreatorApplication:
        """Raises ApiError: 404 ``creator_application_not_found``, 409 ``already_decided``."""
        note = clean_text("note", note, MAX_NOTE)
        async with self._database.transaction() as transaction:
            applications = CreatorApplications(transaction)
            is_done = await applications.decide(application_id, admin_id, state, note)
            application = await self._find(applications, application_id)
            if not is_done:
                raise conflict("already_decided", "Somebody has decided this already.")
            if state is ApplicationState.APPROVED:
                await Users(transaction).set_creator(application.user_id, True)
            await AuditLog(transaction).add(
                admin_id, f"creator_application.{state.value}", "user", str(application.user_id), address
            )
        self._bus.publish(UserChanged(str(application.user_id)))
        is_approved = state is ApplicationState.APPROVED
        await self._notifications.notify(
            application.user_id,
            Kind.CREATOR_DECISION,
            {"isApproved": is_approved},
            source=f"creator_application:{application_id}",
        )
        return application

    async def _find(self, applications: CreatorApplications, application_id: UUID) -> CreatorApplication:
        application = await applications.find(application_id)
        if application is None:
            raise not_found("creator application")
        return application
