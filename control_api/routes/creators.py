"""Applications to become a creator, and the administrators' queue of them."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from control_api.pagination import Page
from control_api.principal import Access
from control_api.routing import Call, Route
from control_api.schemas import Body, Data, PageQuery
from control_api.services.creators import MAX_NOTE, MAX_TEXT, CreatorService
from storage.repositories.creators import ApplicationState, CreatorApplication


class NewApplication(Body):
    """``text`` says what you want to stream."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]


class Decision(Body):
    """``note`` is shown to the one who applied."""

    note: Annotated[str, Meta(max_length=MAX_NOTE)] = ""


class ApplicationQuery(PageQuery):
    state: ApplicationState = ApplicationState.PENDING


class ApplicationView(Data):
    """``decidedAt`` is null while it is pending."""

    id: UUID
    user_id: UUID
    username: str
    text: str
    state: ApplicationState
    created_at: datetime
    decided_at: datetime | None
    note: str


class CreatorRoutes:
    def __init__(self, creators: CreatorService) -> None:
        self._creators = creators

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/creators/apply",
                self.apply,
                "Apply to become a creator",
                Access.USER,
                body=NewApplication,
                response=ApplicationView,
                status=HTTPStatus.CREATED,
                errors=[
                    (HTTPStatus.CONFLICT, "already_creator"),
                    (HTTPStatus.CONFLICT, "application_pending"),
                    (HTTPStatus.NOT_FOUND, "user_not_found"),
                ],
            ),
            Route(
                "GET",
                "/admin/creator-applications",
                self.queue,
                "Applications, the oldest first",
                Access.ADMIN,
                query=ApplicationQuery,
                response=list[ApplicationView],
            ),
            self._decision_route("approve", self.approve, "Make a creator of who applied"),
            self._decision_route("reject", self.reject, "Reject an application"),
        ]

    def _decision_route(self, verb: str, handler: Any, summary: str) -> Route:
        return Route(
            "POST",
            f"/admin/creator-applications/{{id}}/{verb}",
            handler,
            summary,
            Access.ADMIN,
            body=Decision,
            response=ApplicationView,
            errors=[
                (HTTPStatus.NOT_FOUND, "creator_application_not_found"),
                (HTTPStatus.CONFLICT, "already_decided"),
            ],
        )

    async def apply(self, call: Call[NewApplication, Any]) -> ApplicationView:
        return _view(await self._creators.apply(call.user_id, call.body.text))

    async def queue(self, call: Call[Any, ApplicationQuery]) -> Page[ApplicationView]:
        query = call.query
        page = await self._creators.queue(query.state, query.cursor, query.limit)
        return page.map(_view)

    async def approve(self, call: Call[Decision, Any]) -> ApplicationView:
        return await self._decide(call, ApplicationState.APPROVED)

    async def reject(self, call: Call[Decision, Any]) -> ApplicationView:
        return await self._decide(call, ApplicationState.REJECTED)

    async def _decide(self, call: Call[Decision, Any], state: ApplicationState) -> ApplicationView:
        application_id = call.path_id("id", "creator application")
        return _view(
            await self._creators.decide(call.user_id, application_id, state, call.body.note, call.address)
        )


def _view(application: CreatorApplication) -> ApplicationView:
    return ApplicationView(
        id=application.id,
        user_id=application.user_id,
        username=application.username,
        text=application.text,
        state=application.state,
        created_at=application.created_at,
        decided_at=application.decided_at,
        note=application.note,
    )
