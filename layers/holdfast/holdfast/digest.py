"""One message about what was so before Holdfast came: the first sweep must not fill anybody's mailbox."""

import json
from collections.abc import Iterable

from holdfast.event import Place
from holdfast.ledger import Baseline, Told
from holdfast.message import SUBJECT, clean, redacted
from holdfast.model import ApiCall, Outcome

SHOWN = 50
STANDING = (Outcome.AUDITED.value, Outcome.ESCALATED.value)


def digest(
    guardrail: str, here: Place, pages: Iterable[tuple[str, Told, Baseline | None]], topic: str
) -> ApiCall | None:
    """The call that tells it; None when there is nothing to tell. `pages` gives target, last message and baseline."""
    broken, provisional = [], 0
    for target, told, baseline in pages:
        broken += [f"{target} - {told.what}"] if told.outcome in STANDING else []
        provisional += baseline is not None and not baseline.by
    if not broken and not provisional:
        return None
    summary = f"{len(broken)} were broken before Holdfast came; {provisional} baselines were taken at first sight"
    text = {"version": 1, "kind": "digest", "guardrail": guardrail, "account": here.account, "region": here.region}
    text |= {"what": summary, "broken": redacted(broken[:SHOWN])}
    more = [f"and {len(broken) - SHOWN} more"] if len(broken) > SHOWN else []
    mail = [f"{guardrail} in account {here.account}, {here.region}: {summary}.", "", *map(clean, broken[:SHOWN]), *more]
    mail += ["", "They are left as they are: mend or exempt them, or set remediate_existing."] if broken else []
    attributes = {"guardrail": guardrail, "severity": "medium", "outcome": "audited"}
    attributes |= {"account": here.account, "region": here.region}
    publish = {
        "TopicArn": topic,
        "Subject": f"[digest] {guardrail}: {summary}"[: SUBJECT - 1],
        "Message": json.dumps({"default": json.dumps(text), "email": "\n".join(mail)}),
        "MessageStructure": "json",
        "MessageAttributes": {n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()},
    }
    return ApiCall("sns", "publish", publish)
