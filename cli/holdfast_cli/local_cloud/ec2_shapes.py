"""EC2's two serialisers: an old one (lists as `{"items": […]}`), an XML one (lists as `{"tag": 1, "content": …}`)."""

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from .forms import is_list, nested, numbered
from .wire import Exchange
from .xml_shapes import Json, content_of, local_name, one_or_many, root_of, scalar, text_of

_XML_STYLE = re.compile(
    r"VpcEndpoint|NatGateway|FlowLogs|ModifySecurityGroupRules|LaunchTemplate|TransitGateway|PrefixList"
    r"|EgressOnlyInternetGateway|VpcBlockPublicAccess"
)
_SETS = {"resourceId": "resourcesSet", "tag": "tagSet", "tagSpecification": "tagSpecificationSet"}
_TEXT = {"description", "groupOwnerId", "key", "ownerId", "userId", "value"}
_PERMISSION_LISTS = ("groups", "ipRanges", "ipv6Ranges", "prefixListIds")


def request(exchange: Exchange, operation: str) -> Json:
    """`requestParameters` of an EC2 call."""
    form = nested(exchange.fields)
    if _XML_STYLE.search(operation):
        return {f"{operation}Request": _tagged(form)}
    return _with_permissions(operation, _listed(form)) or None


def response(exchange: Exchange, operation: str) -> Json:
    """`responseElements` of an EC2 call."""
    root = root_of(exchange.answer)
    return {f"{operation}Response": content_of(root)} if _XML_STYLE.search(operation) else _old_content(root)


def _tagged(node: Json) -> Json:
    """The XML style: names as the API has them; a list's member carries its place as `tag`."""
    if not isinstance(node, dict):
        return scalar(node)
    if not is_list(node):
        return {name: _tagged(value) for name, value in node.items()}
    members = enumerate(map(_tagged, numbered(node)), start=1)
    return one_or_many([{"tag": place, **_as_object(member)} for place, member in members])


def _as_object(member: Json) -> dict[str, Json]:
    return member if isinstance(member, dict) else {"content": member}


def _listed(node: Mapping[str, Any]) -> dict[str, Json]:
    """The old style: lower first letters, lists as `{"items": […]}`."""
    members = {}
    for wire, value in node.items():
        name = wire[:1].lower() + wire[1:]
        if isinstance(value, dict):
            members[_SETS.get(name, name)] = _items(name, value)
        else:
            members[name] = value if name in _TEXT else scalar(value)
    return members


def _items(name: str, node: Mapping[str, Any]) -> Json:
    if not is_list(node):
        return _listed(node)
    if name == "tagSpecification":
        return {"items": [_tag_specification(each) for each in numbered(node)]}
    return {"items": [_listed(each) if isinstance(each, dict) else {name: each} for each in numbered(node)]}


def _tag_specification(node: Mapping[str, Any]) -> Json:
    """The one place where the old style has a plain list."""
    return {"resourceType": node["ResourceType"], "tags": [_listed(tag) for tag in numbered(node.get("Tag", {}))]}


def _with_permissions(operation: str, parameters: dict[str, Json]) -> dict[str, Json]:
    """Security group calls always name `ipPermissions` and its four lists, the empty ones as `{}`."""
    if re.match(r"(Authorize|Revoke)SecurityGroup", operation):
        for each in parameters.setdefault("ipPermissions", {}).get("items", []):
            each.update({kind: each.get(kind, {}) for kind in _PERMISSION_LISTS})
    return parameters


def _old_content(element: ElementTree.Element) -> Json:
    name = local_name(element)
    if len(element) and all(local_name(child) == "item" for child in element):
        return {"items": [_old_content(child) for child in element]}
    if len(element):
        return {_old_name(child): _old_content(child) for child in element}
    if name.endswith("Set") or name in _PERMISSION_LISTS:
        return {}
    return text_of(element) if name in _TEXT else scalar(text_of(element))


def _old_name(element: ElementTree.Element) -> str:
    name = local_name(element)
    return "_return" if name == "return" else name
