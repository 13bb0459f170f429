"""JSON Schemas of what people and machines read and write, from the classes that the functions parse with."""

import json
from collections.abc import Mapping
from typing import Any

from holdfast import SharedSettings, shape
from holdfast.guardrail import NoSettings
from holdfast.model import Outcome, Record
from holdfast.settings import PATH, Exemption

from holdfast_cli import project
from holdfast_cli.deployment import handler

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def files() -> dict[str, str]:
    """The schemas as text, by file name."""
    found = {
        "settings": schema("settings", f"{PATH}/settings: what the guardrails share", shape.schema(SharedSettings)),
        "exemption": schema("exemption", f"{PATH}/exemptions/GUARDRAIL/NAME", shape.schema(Exemption)),
        "record": schema("record", "What Holdfast tells, as machines get it", record()),
    } | {f"settings-{g}": settings(g) for g in project.guardrails() if handler(g).settings is not NoSettings}
    return {f"{name}.schema.json": json.dumps(body, indent=2) + "\n" for name, body in found.items()}


def schema(name: str, title: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"$schema": DRAFT, "$id": f"urn:holdfast:schema:{name}", "title": title, **body}


def record() -> dict[str, Any]:
    """A message carries every field, and the id, which the class works out."""
    body = shape.schema(Record)
    properties = {"id": {"type": "string"}, **body["properties"], "outcome": {"enum": [str(o) for o in Outcome]}}
    return body | {"properties": properties, "required": list(properties)}


def settings(guardrail: str) -> dict[str, Any]:
    """Of the SSM parameter alone, so nothing is required of it: the stack's parameters may give that."""
    title = f"{PATH}/settings/{guardrail}: over what the stack's parameters give"
    return schema(f"settings-{guardrail}", title, shape.schema(handler(guardrail).settings) | {"required": []})
