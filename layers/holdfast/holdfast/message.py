"""A record as people and machines read it. Pure: the engine makes the calls.

Whatever came from an event, a policy or a tag was written by somebody else: before a person sees it, it is redacted,
put on one line and cut.
"""

import difflib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from holdfast import shape
from holdfast.event import ARN
from holdfast.model import ApiCall, Record

SUBJECT = 100  # characters, ASCII: SNS API, Publish
LINE = 600
LIMIT = 240_000  # bytes of a whole message: SNS refuses more than 256 KB (SNS API, Publish)
BULKY = ("undo", "found", "left", "calls")
TOO_LARGE = "too large for a message: see the ledger's record"

NAMED = (
    r"(?i:(?<!\d{12}:)secret(?!smanager|arn)|passw(?:or)?d|pass(?:phrase|code)|(?<![a-z])(?:pwd|pass(?![\w-]))"
    r"|(?:session|security|access|auth|refresh|id)[_-]?token|(?<![a-z])token(?![\w-])|credentials?(?![\w-])"
    r"|(?:api|private|access|account)[_-]?key(?![_-]?id)|authorization)"
)
SECRET_NAME = re.compile(NAMED)
# Each alternative ends soon, or takes all that it has looked at: what an attacker repeats must not cost its square.
SECRETS = re.compile(
    r"(?<![A-Z0-9])(?P<id>AKIA|ASIA)[A-Z0-9]{12,}+"
    r"|(?P<pem>-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)"
    r"(?s:.*?)(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)"
    r"|(?P<url>(?i:signature|security-token|credential)(?:=|%3D))[^&\s\"',]++"
    rf"|(?P<name>{NAMED}[\w-]{{0,60}}(?:\\{{0,15}}[\"'])?\s*+"
    r"(?:[=>]|%3[ADad]|:(?!\*(?:[\s\"',]|\Z)))\s*+(?P<quote>\\{0,15}[\"'])?"  # `:*` ends the ARN of a log group
    r"(?i:(?:bearer|basic|digest|token)\s++)?)(?(quote)(?s:(?!(?P=quote)).)+|(?:(?!-----BEGIN )[^\s\"'&,;}<])++)"
    rf"|(?P<flag>(?<![\w-])--[\w-]{{0,40}}?{NAMED}[\w-]{{0,60}}\s++)"
    r"(?:\\{0,15}(?:\"[^\"]++|'[^']++)|[^\s\"'\\-][^\s\"']*+)"
    r"|(?P<user>://[^\s/:@\"'<>]*+:)[^\s/@\"'<>]++(?=@)"
    r"|(?P<hook>hooks\.slack\.com/(?:services|workflows|triggers)/)[\w/-]++"
    r"|(?:FwoG|FQoG|IQoJ|AQoD)(?:[A-Za-z0-9/+=]|%2[BFbf]|%3[Dd]){20,}+"  # how session tokens begin
    r"|(?<![A-Za-z0-9])eyJ[\w-]{16,}+(?:\.[\w-]*+){0,4}"  # and JSON web tokens, and GitHub's and Slack's
    r"|(?:gh[opsur]|github_pat)_\w{20,}+|(?:xox[a-z]|xapp)-[\w-]{10,}+"
    r"|(?<![A-Za-z0-9+])(?=[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=]))"  # a secret access key: all sorts of characters,
    r"(?=[^A-Z]{0,39}[A-Z])(?=[^a-z]{0,39}[a-z])(?=[^0-9]{0,39}[0-9])"  # which change too often for words
    r"(?=(?:[A-Z]?[a-z]++|[A-Z]++|[0-9]++|[/+]++){12}).{40}"
)
KEPT = ("id", "pem", "url", "name", "flag", "user", "hook")  # what is shown before a secret
# Refuses an exemption with a blank field or without a date. SSM API, PutParameter, says neither which flavour of
# patterns it takes nor whether one must match the whole value: this one is the same in all.
FILLED_IN = r'^("?([^"\\]|\\.))*"20[0-9]{2}-[01][0-9]-[0-9]{2}("|T)("?([^"\\]|\\.))*$'
LINK = re.compile(r"(?i):(?=//)|(?<=\bwww)\.|(?<=\bmailto):|(?<=\btel):(?=\+?\d)")
DOMAIN = re.compile(r"(?<=\w)\.(?=(?:xn--[\w-]{1,60}|[^\W\d_]{2,60})(?![\w-]|\.\w))")  # the last dot of one
SERVICE = re.compile(r"[a-z0-9-]+\.amazonaws\.com(\.cn)?")
# A reader's program must not make a link, a tag or formatting of what somebody else wrote. Some letters show nothing.
MARKUP = str.maketrans({"`": "'", "<": "‹", ">": "›", "\\": "/"} | dict.fromkeys("\u115f\u1160\u2800\u3164\uffa0", " "))

HEADLINES = {
    "remediated": "was broken and is back",
    "escalated": "is broken and needs a person",
    "audited": "is broken; Holdfast only watches",
    "exempt": "differs, and may",
    "deferred": "is broken; the fix has to wait",
    "compliant": "is in order",
}

FOUGHT_OVER = "was broken again and is back; it keeps being broken, and needs a person"


def tell(record: Record, topic: str, bus: str) -> tuple[ApiCall, ...]:
    """The calls that tell a record: SNS for people and queues, EventBridge for others to build on."""
    text, message = _fitted(record)
    names = ("guardrail", "severity", "outcome", "account", "region")
    publish = {
        "TopicArn": topic,
        "Subject": subject(record),
        "Message": message,
        "MessageStructure": "json",
        "MessageAttributes": {n: {"DataType": "String", "StringValue": getattr(record, n)} for n in names},
    }
    entry = {
        "Source": "holdfast",
        "DetailType": "Holdfast Record",
        "Detail": text,
        "EventBusName": bus,
        "Resources": [redacted(record.target)],
    }
    return ApiCall("events", "put_events", {"Entries": [entry]}), ApiCall("sns", "publish", publish)


def _fitted(record: Record) -> tuple[str, str]:
    """The envelope's text and all forms in one, without as much of the bulky parts as doesn't fit.

    It is measured when all is quoted: what somebody wrote into a policy may grow sevenfold by that.
    """
    for limit in (LIMIT, LIMIT // 2, LIMIT // 4, LIMIT // 8, 0):
        fit = slim(record, limit)
        text = json.dumps(envelope(fit))
        message = json.dumps({"default": text, "email": mail(fit), "sms": subject(fit)})
        if len(message) <= LIMIT:
            break
    return text, message


def slim(record: Record, limit: int, omitted: str = TOO_LARGE) -> Record:
    """The record without its bulkiest parts, as many as take its JSON past the limit (bytes); `omitted` says so.

    They go by their length alone: to redact and render a megabyte that nobody will see would cost whole seconds.
    """
    nothing: dict[str, Any] = {"undo": (), "found": {"omitted": omitted}, "left": {"omitted": omitted}, "calls": ()}
    sizes = {name: len(json.dumps({name: part})) for name, part in shape.plain(record).items()}
    for name in sorted(BULKY, key=lambda name: sizes[name], reverse=True):
        if sum(sizes.values()) <= limit:
            break
        sizes[name] = len(json.dumps({name: nothing[name]}))
        record = replace(record, **{name: nothing[name]})
    return record


def envelope(record: Record) -> dict[str, Any]:
    """The record as machines get it: everything but secrets."""
    return {**redacted(shape.plain(record)), "id": redacted(record.id)}


def redacted(value: Any, hidden: bool = False) -> Any:
    """Without secrets, also where only the name beside a value says that it is one, as in a tag."""
    if isinstance(value, Mapping):
        tag = any(_is_secret_name(v) for k, v in value.items() if k.lower().endswith(("key", "name")))
        return {
            redacted(k): redacted(v, hidden or _is_secret_name(k) or (tag and k.lower().endswith("value")))
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [redacted(item, hidden) for item in value]
    if hidden and value is not None and not isinstance(value, bool):
        return "[redacted]"
    return SECRETS.sub(_mask, value) if isinstance(value, str) else value


def _is_secret_name(text: Any) -> bool:
    return isinstance(text, str) and SECRET_NAME.search(text) is not None


def _mask(found: "re.Match[str]") -> str:
    return f"{next(filter(None, found.group(*KEPT)), '')}[redacted]"


def clean(text: Any, limit: int = LINE) -> str:
    """Somebody else's text, safe to show: one line, no secrets, no links, markup, control or direction marks."""
    shown = SECRETS.sub(_mask, str(text)).translate(MARKUP)
    shown = "".join(char if char.isprintable() else " " for char in shown)
    shown = LINK.sub(r"[\g<0>]", shown).replace("](", "] (")
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def words(text: Any, limit: int) -> str:
    """As `clean`, for what a caller says of itself: neither a domain nor an address becomes a link."""
    shown = clean(text, limit)
    return shown if SERVICE.fullmatch(shown) else DOMAIN.sub(r"[\g<0>]", shown)


def subject(record: Record) -> str:
    """Under 100 ASCII characters, or SNS refuses it."""
    target = redacted(record.target)
    thing = target.partition(":")[2].rpartition(":")[2] or target
    text = clean(f"[{record.severity}] {record.outcome}: {record.guardrail} - {thing}", 400)
    # what looks like an encoded word (RFC 2047) would be decoded into anything
    return text.encode("ascii", "replace").decode().replace("=?", "= ?")[: SUBJECT - 1]


def mail(record: Record) -> str:
    """What a tired person reads: which call led here, what was found, what was done, and what to do next.

    The call is the one whose event set the look off. Where events are late, another may have broken the thing.
    """
    lines = [line for section in (_facts(record), _actions(record), _next_steps(record)) for line in section]
    return "\n".join(lines)


def _facts(record: Record) -> Iterator[str]:
    fought_over = record.outcome == "escalated" and record.applied and record.reason
    yield f"{clean(record.target)} {FOUGHT_OVER if fought_over else HEADLINES[record.outcome]}."
    yield ""
    yield f"Guardrail: {record.guardrail} ({record.severity}), account {record.account}, {record.region}"
    yield f"Found:     {clean(record.what)}"
    yield f"Call:      {_who(record)}"
    yield f"When:      {clean(record.event_time) or stamp(record.opened)}, told {stamp(record.closed)}"
    if record.reason:
        yield f"Why so:    {clean(record.reason)}"


def _who(record: Record) -> str:
    actor = record.actor
    if not (actor.arn or actor.principal or actor.account or actor.ip):
        return f"not known ({clean(record.event_name)})"
    session = f", session {words(actor.session, 100)}" if actor.session else ""
    began = f", begun by {words(actor.source_identity, 100)}" if actor.source_identity else ""
    via = f", through {words(actor.via, 100)}" if actor.via and actor.via != actor.arn else ""
    place = f" from {words(actor.ip, 100)} with {words(actor.agent, 160)}" if actor.ip else ""
    who = clean(actor) if ARN.fullmatch(actor.arn) else words(actor, LINE)
    return f"{who} ({words(actor.kind, 40)}{session}{began}{via}) called {words(record.event_name, 100)}{place}"


def _actions(record: Record) -> Iterator[str]:
    if record.calls:
        yield ""
        yield {True: "Calls made:", False: "Calls it would have made:"}[record.applied]
        yield from (f"  {command(call, record.region)}" for call in record.calls)
    if changed := diff(record):
        yield ""
        yield "Before (-) and after (+):"
        yield from (f"  {clean(line)}" for line in changed)


def _next_steps(record: Record) -> Iterator[str]:
    if record.todo:
        yield ""
        yield f"What to do: {clean(record.todo, 2000)}"
    if record.outcome in ("remediated", "audited", "escalated"):
        yield ""
        yield "If this was meant, exempt it (who answers for it, why, until when):"
        yield f"  {command(exempting(record), record.region)}"
    if record.undo and record.applied:
        yield "and then undo what was done:"
        yield from (f"  {command(call, record.region)}" for call in record.undo)
    yield ""
    yield f"Record {clean(record.id)}"


def exempting(record: Record) -> ApiCall:
    """The call that exempts the target; its owner, reason and expiry are for the reader to fill in.

    Until they are, SSM refuses it: a parameter that makes no sense would stop the whole guardrail.
    """
    value = {"resource": record.target, "owner": "", "reason": "", "expires": "YYYY-MM-DD"}
    name = f"/holdfast/exemptions/{record.guardrail}/NAME"
    parameter = {"Name": name, "Type": "String", "Value": json.dumps(value), "AllowedPattern": FILLED_IN}
    return ApiCall("ssm", "put_parameter", parameter)


def command(call: ApiCall, region: str) -> str:
    """The call for a shell, in its own Region or else in this. One that is unsafe to show is only named."""
    service, plain = {"s3": "s3api"}.get(call.service, call.service), shape.plain(call.parameters)
    head = f"aws {service} {call.operation.replace('_', '-')} --region {call.region or region}"
    line = f"{head} --cli-input-json {shlex.quote(json.dumps(plain))}"
    bare = line.replace("\\", "")
    safe = clean(bare, LIMIT) == bare and redacted(plain) == plain
    return line if safe else f"{head} … (the ledger's record has the rest)"


def diff(record: Record) -> list[str]:
    """What was seen before and after: observed, not intended. Empty when nothing was looked at again."""
    if record.left is None and not record.applied:
        return []
    states = (redacted(record.found), redacted(record.left))
    was, now = (json.dumps(state, indent=1, sort_keys=True).splitlines() for state in states)
    return [line for line in difflib.unified_diff(was, now, n=0, lineterm="") if line[:2] not in ("--", "++", "@@")]


def stamp(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # as CloudTrail writes it
