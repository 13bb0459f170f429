"""What arrives: a CloudTrail call, or Holdfast's own request to look again. Either is only a hint where to look.

Shapes follow the CloudTrail user guide, "Record contents", and the EventBridge user guide, "AWS service events
delivered via CloudTrail". Whoever can write an event field is an attacker: ids are checked before they are used.
"""

import re
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Any

from holdfast.value import Value

API_CALL = "AWS API Call via CloudTrail"
LOOK = "Holdfast Look"
SWEEP = "Holdfast Sweep"
CANARY = "Holdfast Canary"

# Classic us-east-1 buckets may be longer and hold capitals: S3 user guide, "General purpose bucket naming rules".
BUCKET_NAME = re.compile(r"[A-Za-z0-9._-]{3,255}")
BUCKET_ARN = re.compile(r"arn:[\w-]+:s3:::([^/]+)")  # with a slash it is of an object
ARN = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:\d*:[^\s*?]{1,1024}")
LONGEST = 2048  # characters of what tells who made a call: an ARN has no more (IAM and STS quotas)
LONGEST_ID = 100  # characters of an event's id, which is a UUID; it becomes part of a key in the ledger
RESOURCE_ID = re.compile(r"[\w+=,.@/:-]{1,512}")


class BadEvent(ValueError):
    """The event can't be understood, so it is not known what it touched. It must end in the dead-letter queue."""


class Arn(str):
    """The id of a target: a string that knows its parts.

    Raises BadEvent for anything that is not the ARN of one thing (wildcards, blanks, other text).
    """

    def __new__(cls, text: str) -> "Arn":
        if not ARN.fullmatch(text):
            raise BadEvent(f"not the ARN of one resource: {text[:100]!r}")
        return super().__new__(cls, text)

    def _part(self, index: int) -> str:
        return self.split(":", 5)[index]

    @property
    def service(self) -> str:
        return self._part(2)

    @property
    def region(self) -> str:
        """Empty for a bucket, whose ARN has no Region."""
        return self._part(3)

    @property
    def account(self) -> str:
        """Empty for a bucket, whose ARN has no account."""
        return self._part(4)

    @property
    def resource(self) -> str:
        """`key/1234`, `vpc-endpoint/vpce-1`, or a bucket's name."""
        return self._part(5)

    @property
    def kind(self) -> str:
        """`key` of `key/1234`; empty for a bucket."""
        return self.resource.partition("/")[0] if "/" in self.resource else ""

    @property
    def name(self) -> str:
        """`1234` of `key/1234`, or a bucket's name."""
        return self.resource.rpartition("/")[2]


class Place(Value):
    """Where we run, and as whom."""

    account: str
    region: str
    partition: str = "aws"
    role: str = ""

    def arn(self, service: str, resource: str, region: str | None = None) -> Arn:
        """The ARN of a resource of this account, in this Region unless another is named."""
        return Arn(
            f"arn:{self.partition}:{service}:{self.region if region is None else region}:{self.account}:{resource}"
        )

    def bucket(self, name: str) -> Arn:
        """The ARN of a bucket; a directory bucket (`…--x-s3`) has another service and knows its account."""
        if name.endswith("--x-s3"):
            return self.arn("s3express", f"bucket/{name}")
        return Arn(f"arn:{self.partition}:s3:::{name}")


class Actor(Value):
    """Who made a call. `arn` is the stable name: of an assumed role the role, of a federated user the IAM user who let
    them in (GetFederationToken gives no right that this one lacks); `session` is the rest, which a caller may choose.

    Some have none: callers of other accounts, users of Identity Center or of a web identity (CloudTrail user guide,
    "CloudTrail userIdentity element"). `principal` and `account` tell these apart, and never get into `arn`, where a
    pattern of the settings could match them. `delegate` is the account of a provider that acts as `arn` for a while
    (IAM user guide, "Temporary delegation"), `source_identity` who began a chain of roles, where these ask for it.
    """

    arn: str = ""
    kind: str = "unknown"
    session: str = ""
    via: str = ""
    ip: str = ""
    agent: str = ""
    account: str = ""
    principal: str = ""
    delegate: str = ""
    source_identity: str = ""

    @classmethod
    def parse(cls, detail: Mapping[str, Any]) -> "Actor":
        """From a record's `userIdentity`, which trimmed records lack and services fill with only `invokedBy`."""
        identity = mapping(detail.get("userIdentity"))
        context = mapping(identity.get("sessionContext"))
        issuer = mapping(context.get("sessionIssuer"))
        arn, via = str(identity.get("arn") or ""), str(identity.get("invokedBy") or "")
        user = identity.get("userName") or mapping(identity.get("onBehalfOf")).get("userId")
        principal, session = str(user or identity.get("principalId") or ""), ""
        if principal.startswith("AROA"):  # a role's id and its session: IAM user guide, "IAM identifiers"
            principal, _, session = principal.partition(":")
        if ":assumed-role/" in arn or ":federated-user/" in arn:
            session = arn.rpartition("/")[2]
        kind = str(identity.get("type") or "unknown")
        parts = {
            "arn": issuer.get("arn") or role_of(arn) or via,
            "kind": f"{kind}, by AssumeRoot" if str(context.get("assumedRoot")).lower() == "true" else kind,
            "session": session,
            "via": via,
            "ip": detail.get("sourceIPAddress"),
            "agent": detail.get("userAgent"),
            "account": identity.get("accountId"),
            "principal": principal,
            "delegate": mapping(identity.get("invokedByDelegate")).get("accountId"),
            "source_identity": context.get("sourceIdentity"),
        }
        return cls(**{name: str(part or "")[:LONGEST] for name, part in parts.items()})

    def __str__(self) -> str:
        account = f" of account {self.account}" if self.account else ""
        delegate = f", lent to account {self.delegate}" if self.delegate else ""
        return f"{self.arn or f'{self.principal or self.kind}{account}'}{delegate}"


def role_of(arn: str) -> str:
    """`arn:aws:sts::1:assumed-role/R/session` → `arn:aws:iam::1:role/R` (a role's path can't be told from it)."""
    session = re.fullmatch(r"arn:([\w-]+):sts::(\d+):assumed-role/([^/]+)(?:/.*)?", arn)
    return f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}" if session else arn


class Event(Value):
    """One CloudTrail call, or one look.

    `request`, `response` and `resources` are CloudTrail's requestParameters, responseElements and the ARNs of its
    resources; `owner` is their account, where the record tells: ours if one of them is ours, since a look does no harm
    and what is not ours is not looked at. `looks_at` holds the targets of a look and is None for a call.
    """

    id: str
    name: str
    place: Place
    time: str = ""
    source: str = ""
    actor: Actor = field(default_factory=Actor)
    request: Mapping[str, Any] = field(default_factory=dict)
    response: Mapping[str, Any] = field(default_factory=dict)
    resources: tuple[str, ...] = ()
    owner: str = ""
    looks_at: tuple[Arn, ...] | None = None

    @classmethod
    def parse(cls, raw: Mapping[str, Any], place: Place) -> "Event":
        """From a whole EventBridge envelope. Raises BadEvent when it isn't one that a rule of ours can have matched."""
        detail = raw.get("detail") if isinstance(raw, Mapping) else None
        if not isinstance(detail, Mapping):
            raise BadEvent("an event without detail")
        if raw.get("detail-type") in (LOOK, SWEEP, CANARY):
            return cls._look(raw, detail, place)
        if raw.get("detail-type") != API_CALL:
            raise BadEvent(f"not a CloudTrail call: detail-type {str(raw.get('detail-type'))[:100]!r}")
        return cls._call(raw, detail, place)

    @classmethod
    def _look(cls, raw: Mapping[str, Any], detail: Mapping[str, Any], place: Place) -> "Event":
        targets = detail.get("targets") or ()
        if not isinstance(targets, list | tuple):
            raise BadEvent("a look whose targets are not a list")
        return cls(
            id=str(raw.get("id") or "")[:LONGEST_ID],
            name=str(raw["detail-type"]),
            place=place,
            time=str(raw.get("time") or ""),
            source=str(raw.get("source") or ""),
            looks_at=tuple(Arn(str(target)) for target in targets),
        )

    @classmethod
    def _call(cls, raw: Mapping[str, Any], detail: Mapping[str, Any], place: Place) -> "Event":
        if not detail.get("eventName"):
            raise BadEvent("a CloudTrail call without eventName")
        resources = [mapping(resource) for resource in listed(detail.get("resources"))]
        owners = [str(resource["accountId"]) for resource in resources if resource.get("accountId")]
        return cls(
            id=str(detail.get("eventID") or raw.get("id") or "")[:LONGEST_ID],
            name=str(detail["eventName"])[:LONGEST_ID],
            place=Place(place.account, str(detail.get("awsRegion") or place.region), place.partition, place.role),
            time=str(detail.get("eventTime") or ""),
            # what an archive brings back says nothing of who acts now (EventBridge guide, "Replaying archived events")
            source="" if raw.get("replay-name") else str(raw.get("source") or ""),
            actor=Actor.parse(detail),
            request=mapping(detail.get("requestParameters")),
            response=mapping(detail.get("responseElements")),
            resources=tuple(str(resource["ARN"]) for resource in resources if resource.get("ARN")),
            owner=place.account if place.account in owners else next(iter(owners), ""),
        )

    @property
    def epoch(self) -> float:
        """When the call was made (epoch seconds, whole as CloudTrail writes them); 0 if that can't be told."""
        try:
            return datetime.fromisoformat(self.time).timestamp()
        except ValueError:
            return 0

    @property
    def is_call(self) -> bool:
        """True for a CloudTrail call, False for a look, which has no actor."""
        return self.looks_at is None

    @property
    def known_actor(self) -> str:
        """The actor's ARN if AWS itself delivered the event: PutEvents refuses `aws.*` sources to everybody else."""
        return self.actor.arn if self.source.startswith("aws.") else ""

    @property
    def trusted_actor(self) -> str:
        """The known actor whose say may count: not of what another account does in that name."""
        return "" if self.actor.delegate else self.known_actor

    @property
    def counted_actor(self) -> str:
        """Whom to count what was broken against: also one without an ARN. Empty where nobody is known for sure.

        It is no ARN, and nothing for `settings.named`.
        """
        actor = self.actor
        return str(actor) if self.source.startswith("aws.") and (actor.arn or actor.principal or actor.account) else ""

    def text(self, *keys: str) -> str:
        """The first of these request parameters that is set; old records wrap it in a list. Raises BadEvent."""
        for key in keys:
            value = first(self.request.get(key))
            if isinstance(value, str) and RESOURCE_ID.fullmatch(value):
                return value
        raise BadEvent(f"{self.name} without a usable {' or '.join(keys)}")

    def bucket(self) -> Arn:
        """The bucket that the call named; where no name can be used, the only one among its resources.

        Raises BadEvent if there is none. AWS writes the resources: no caller can turn our eyes elsewhere.
        """
        said = [first(self.request.get(key)) for key in ("bucketName", "bucket")]
        found = {match[1] for arn in self.resources if (match := BUCKET_ARN.fullmatch(arn))}
        for name in (*said, *(found if len(found) == 1 else ())):
            if isinstance(name, str) and BUCKET_NAME.fullmatch(name):
                return self.place.bucket(name)
        raise BadEvent(f"{self.name} without a usable bucketName or bucket")

    def arn(self, service: str, resource: str) -> Arn:
        """The ARN of a resource in the Region of the call."""
        return self.place.arn(service, resource)


def mapping(value: Any) -> Mapping[str, Any]:
    """The object, or an empty one: CloudTrail writes null, "" or nothing where there is none."""
    return value if isinstance(value, Mapping) else {}


def first(value: Any) -> Any:
    return next(iter(listed(value)), None)


def listed(value: Any) -> list[Any]:
    """CloudTrail's lists, flat.

    One thing, several, `{"items": […]}`, `{"item": …}`, `{"tag": 1, "content": …}` or "" for none: which of these
    depends on the service, the year, and how many there are.
    """
    flat, rest = [], [value]  # no recursion: whoever writes a field says how deep it goes
    while rest:
        item = rest.pop()
        if isinstance(item, Mapping):
            inner = next((item[key] for key in ("items", "item", "content") if key in item), None)
            if inner is not None:
                rest.append(inner)
            elif item:
                flat.append(item)
        elif isinstance(item, list | tuple):
            rest.extend(reversed(item))
        elif item not in (None, ""):
            flat.append(item)
    return flat
