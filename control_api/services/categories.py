"""Categories: everybody reads them, administrators keep them."""

from uuid import UUID

from control_api.errors import ApiError, conflict, invalid, not_found
from control_api.pagination import Page, decode_cursor, page_of
from control_api.principal import Principal
from control_api.texts import clean_line
from storage.database import Executor
from storage.errors import Conflict, InvalidValue
from storage.repositories.audit import AuditLog
from storage.repositories.categories import Categories, Category, CategoryActivity

MAX_NAME = 50


class CategoriesService:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def page(self, cursor: str | None, limit: int) -> Page[CategoryActivity]:
        """By slug."""
        after: str | None = decode_cursor(cursor, str)[0] if cursor is not None else None
        found = await Categories(self._database).page(limit + 1, after)
        return page_of(found, limit, lambda each: (each.category.slug,))

    async def add(self, principal: Principal, address: str, slug: str, name: str) -> Category:
        name = clean_line("name", name, MAX_NAME)
        async with self._database.transaction() as transaction:
            try:
                category = await Categories(transaction).add(slug, name)
            except (Conflict, InvalidValue) as error:
                raise _explained(error) from error
            await _note(transaction, principal, address, "category.add", category.id, slug)
        return category

    async def change(
        self, principal: Principal, address: str, category_id: UUID, slug: str | None, name: str | None
    ) -> Category:
        """None leaves a value as it is."""
        name = clean_line("name", name, MAX_NAME) if name is not None else None
        async with self._database.transaction() as transaction:
            try:
                category = await Categories(transaction).change(category_id, slug, name)
            except (Conflict, InvalidValue) as error:
                raise _explained(error) from error
            if category is None:
                raise not_found("category")
            await _note(transaction, principal, address, "category.change", category_id, category.slug)
        return category

    async def delete(self, principal: Principal, address: str, category_id: UUID) -> None:
        """Its rooms stay, without a category."""
        async with self._database.transaction() as transaction:
            if not await Categories(transaction).delete(category_id):
                raise not_found("category")
            await _note(transaction, principal, address, "category.delete", category_id, None)


async def _note(
    executor: Executor, principal: Principal, address: str, action: str, category_id: UUID, slug: str | None
) -> None:
    details: dict[str, object] | None = {"slug": slug} if slug is not None else None
    await AuditLog(executor).add(principal.user_id, action, "category", str(category_id), address, details)


def _explained(error: Conflict | InvalidValue) -> ApiError:
    if isinstance(error, Conflict):
        return conflict("slug_taken", "Another category has this slug.", "slug")
    field = "name" if error.constraint == "categories_name_valid" else "slug"
    return invalid(field, "is not allowed")
