"""What somebody is in a room: from the room's memory, or from the database."""

from uuid import UUID

from chat.room import Room
from storage.repositories.chat_people import ChatPeople, RoomPerson


async def person_in(room: Room, people: ChatPeople, user_id: UUID) -> RoomPerson | None:
    """None: no such room any more, or no such account. Raises StorageError."""
    person = room.known_person(user_id)
    if person is None:
        changes = room.people_changes
        person = await people.person(room.id, user_id)
        if person is not None and changes == room.people_changes:
            room.remember(person)
    return person
