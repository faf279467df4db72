"""Categories: what rooms are about."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from control_api.pagination import Page
from control_api.principal import Access
from control_api.room_schemas import Slug
from control_api.routing import Call, Route
from control_api.schemas import Body, Data, PageQuery
from control_api.services.categories import MAX_NAME, CategoriesService
from control_api.texts import LINE_PATTERN
from storage.repositories.categories import Category, CategoryActivity

NOT_FOUND = (HTTPStatus.NOT_FOUND, "category_not_found")
SLUG_TAKEN = (HTTPStatus.CONFLICT, "slug_taken")

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=LINE_PATTERN)]


class NewCategory(Body):
    slug: Slug
    name: Name


class CategoryChanges(Body):
    """What is left out stays as it is."""

    slug: Slug | UnsetType = UNSET
    name: Name | UnsetType = UNSET


class CategoryView(Data):
    id: UUID
    slug: str
    name: str


class CategoryActivityView(CategoryView):
    """``live_rooms`` and ``viewer_count``: of public rooms, now."""

    live_rooms: int
    viewer_count: int


class CategoriesRoutes:
    def __init__(self, categories: CategoriesService) -> None:
        self._categories = categories

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/categories",
                self.list,
                "All categories, with what is live in them",
                query=PageQuery,
                response=list[CategoryActivityView],
                scope="rooms:read",
            ),
            Route(
                "POST",
                "/admin/categories",
                self.create,
                "Add a category",
                Access.ADMIN,
                body=NewCategory,
                response=CategoryView,
                status=HTTPStatus.CREATED,
                errors=(SLUG_TAKEN,),
            ),
            Route(
                "PATCH",
                "/admin/categories/{id}",
                self.change,
                "Change a category's name or slug",
                Access.ADMIN,
                body=CategoryChanges,
                response=CategoryView,
                errors=(NOT_FOUND, SLUG_TAKEN),
            ),
            Route(
                "DELETE",
                "/admin/categories/{id}",
                self.delete,
                "Delete a category; its rooms stay, without one",
                Access.ADMIN,
                errors=(NOT_FOUND,),
            ),
        ]

    async def list(self, call: Call[None, PageQuery]) -> Page[CategoryActivityView]:
        page = await self._categories.page(call.query.cursor, call.query.limit)
        return page.map(_activity)

    async def create(self, call: Call[NewCategory, None]) -> CategoryView:
        body = call.body
        return _view(await self._categories.add(call.principal, call.address, body.slug, body.name))

    async def change(self, call: Call[CategoryChanges, None]) -> CategoryView:
        slug = call.body.slug if call.body.slug is not UNSET else None
        name = call.body.name if call.body.name is not UNSET else None
        category_id = call.path_id("id", "category")
        return _view(await self._categories.change(call.principal, call.address, category_id, slug, name))

    async def delete(self, call: Call[None, None]) -> None:
        await self._categories.delete(call.principal, call.address, call.path_id("id", "category"))


def _view(category: Category) -> CategoryView:
    return CategoryView(id=category.id, slug=category.slug, name=category.name)


def _activity(each: CategoryActivity) -> CategoryActivityView:
    return CategoryActivityView(
        id=each.category.id,
        slug=each.category.slug,
        name=each.category.name,
        live_rooms=each.live_rooms,
        viewer_count=each.viewers,
    )
