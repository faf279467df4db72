"""The commands a server sends, as values: results, errors and statuses (RTMP 1.0, section 7.2)."""

from typing import Final

from rtmp.protocol.capabilities import SERVER_CAPS_EX, FourCcInfo, serialize_capabilities
from rtmp.protocol.messages import Command

FMS_VERSION: Final = "FMS/3,5,7,7009"
"""Some players refuse to talk to anything but a Flash Media Server."""
RECONNECT_REQUEST: Final = "NetConnection.Connect.ReconnectRequest"


def connect_result(transaction_id: float) -> Command:
    """Accept connect, with what Enhanced RTMP wants announced; objectEncoding 0 keeps the client at AMF0."""
    properties = {"fmsVer": FMS_VERSION, "capabilities": 31, "mode": 1}
    information = _information("status", "NetConnection.Connect.Success", "Connection succeeded.")
    information["objectEncoding"] = 0
    information |= serialize_capabilities(SERVER_CAPS_EX, FourCcInfo.CAN_FORWARD)
    return Command("_result", transaction_id, properties, (information,))


def result(call: Command, value: object) -> Command:
    """Answer ``call`` with ``value``."""
    return Command("_result", call.transaction_id, None, (value,))


def error(call: Command, code: str, description: str) -> Command:
    """Answer ``call`` with an error."""
    return Command("_error", call.transaction_id, None, (_information("error", code, description),))


def on_status(level: str, code: str, description: str) -> Command:
    """Report a NetStream status, or a NetConnection status when sent on message stream 0."""
    return Command("onStatus", 0, None, (_information(level, code, description),))


def on_fc_event(name: str, code: str, stream_name: str) -> Command:
    """Build onFCPublish or onFCUnpublish, which old encoders wait for."""
    return Command(name, 0, None, (_information("status", code, stream_name),))


def _information(level: str, code: str, description: str) -> dict[str, object]:
    return {"level": level, "code": code, "description": description}
