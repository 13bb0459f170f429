"""One message about what was so before Holdfast came: the first sweep must not fill anybody's mailbox."""

from collections.abc import Iterable
from itertools import islice

from holdfast.event import Actor, Place
from holdfast.ledger import Baseline, Told, now
from holdfast.model import Outcome, Record

SHOWN = 50


def digest(guardrail: str, here: Place, standing: Iterable[tuple[str, Told, Baseline | None]]) -> Record:
    """A record about the guardrail itself. `standing` gives target, last message and baseline of each page."""
    audited, provisional = [], 0
    for target, told, baseline in standing:
        audited += [f"{target}: {told.what}"] if told.outcome == Outcome.AUDITED else []
        provisional += baseline is not None and not baseline.by
    more = f"; and {len(audited) - SHOWN} more" if len(audited) > SHOWN else ""
    return Record(
        guardrail=guardrail,
        severity="medium",
        account=here.account,
        region=here.region,
        target=here.arn("holdfast", f"guardrail/{guardrail}"),
        event_id="survey",
        event_name="the first sweep",
        event_time="",
        actor=Actor(),
        opened=now(),
        delivery="",
        lease=0,
        what=f"{len(audited)} were already broken; {provisional} baselines were taken at first sight",
        found={"already broken": list(islice(audited, SHOWN))},
        todo=f"Mend or exempt them, or set remediate_existing: {'; '.join(audited[:SHOWN])}{more}" if audited else "",
        outcome=Outcome.AUDITED,
        closed=now(),
    )
