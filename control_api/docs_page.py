"""The page at /docs: the OpenAPI document for people, as plain HTML without scripts or foreign assets."""

import hashlib
import html
from base64 import b64encode
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec

from control_api.principal import Access
from control_api.routing import PREFIX, Route

STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { margin: 2rem 0 .5rem; text-transform: capitalize; border-bottom: 1px solid #8886; }
details { border: 1px solid #8884; border-radius: .5rem; margin: .4rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; display: flex; flex-wrap: wrap; gap: .2rem .8rem; align-items: baseline; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
.method { font-weight: 700; min-width: 4.5rem; } .who { margin-left: auto; opacity: .7; }
table { border-collapse: collapse; width: 100%; } td { padding: .15rem .6rem .15rem 0; vertical-align: top; }
"""
_STYLE_HASH: Final = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"
)


def page(routes: Sequence[Route], version: str) -> bytes:
    """The whole page."""
    by_tag: dict[str, list[Route]] = defaultdict(list)
    for route in routes:
        by_tag[route.tag].append(route)
    links = " · ".join(f'<a href="#{html.escape(tag)}">{html.escape(tag)}</a>' for tag in sorted(by_tag))
    sections = "".join(_section(tag, by_tag[tag]) for tag in sorted(by_tag))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>mediaserver control API</title><style>{STYLE}</style></head><body>
<h1>mediaserver control API {html.escape(version)}</h1>
<p>Every address begins with <code>{PREFIX}</code>. The same for programs:
<a href="/openapi.json">openapi.json</a> (OpenAPI 3.1). Sign in with
<code>Authorization: Bearer …</code>: an access token or an API key.</p>
<nav>{links}</nav>{sections}</body></html>""".encode()


def _section(tag: str, routes: Sequence[Route]) -> str:
    name = html.escape(tag)
    rows = "".join(map(_route, sorted(routes, key=lambda route: (route.path, route.method))))
    return f'<section id="{name}"><h2>{name}</h2>{rows}</section>'


def _route(route: Route) -> str:
    who = "everybody" if route.access is Access.PUBLIC else route.access.value
    scope = f" · key scope <code>{html.escape(route.scope)}</code>" if route.scope else ""
    errors = ", ".join(f"{status} <code>{html.escape(code)}</code>" for status, code in route.errors)
    guard = " Takes <code>If-Match</code>." if route.takes_if_match else ""
    return (
        f'<details><summary><span class="method">{route.method}</span>'
        f"<code>{html.escape(route.path)}</code><span>{html.escape(route.summary)}</span>"
        f'<span class="who">{who}{scope}</span></summary>'
        f"{_fields('Body', route.body)}{_fields('Query', route.query)}"
        f"<p>Answers {int(route.status)}{'; refuses with ' + errors if errors else ''}.{guard}</p></details>"
    )


def _fields(title: str, kind: type | None) -> str:
    if kind is None:
        return ""
    rows = "".join(
        f"<tr><td><code>{html.escape(field.encode_name)}</code></td>"
        f"<td>{'needed' if field.required else 'optional'}</td>"
        f"<td><code>{html.escape(_type_name(field.type))}</code></td></tr>"
        for field in msgspec.structs.fields(kind)
    )
    return f"<h4>{title}</h4><table>{rows}</table>"


def _type_name(kind: object) -> str:
    """A type as people read it: ``str, max_length=100``."""
    metadata = getattr(kind, "__metadata__", ())
    base = getattr(kind, "__origin__", kind) if metadata else kind
    name = base.__name__ if isinstance(base, type) and not getattr(base, "__args__", ()) else str(base)
    limits = [str(meta).removeprefix("msgspec.Meta(").removesuffix(")") for meta in metadata]
    return ", ".join([name.replace("typing.", ""), *limits])
