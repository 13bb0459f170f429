"""What is broken again and again: who fights over it, and when that must neither fill mailboxes nor use up quotas."""

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import UTC, datetime

from holdfast.event import Actor
from holdfast.value import Value

HOUR = 3600
CALM = HOUR  # seconds without a fix after which a fight is over
FOUGHT_OVER = 3  # fixes: one message then says it all, until it is over
NAMED = 5  # actors that are counted by name
OTHERS = "others"
# What deploys things and puts them back, by what CloudTrail shows of it in `invokedBy` or `userAgent`.
OWNERS = {
    "cloudformation": "a CloudFormation stack",
    "terraform": "Terraform",
    "pulumi": "Pulumi",
    "crossplane": "Crossplane",
    "ansible": "Ansible",
    "cloud-custodian": "Cloud Custodian",
    "c7n": "Cloud Custodian",
    "config.amazonaws": "AWS Config's remediation",
    "ssm.amazonaws": "an automation of Systems Manager",
}


class Contest(Value):
    """The fixes of one target that had less than an hour between them. Times are epoch seconds.

    `tries` is how often a fix was begun in the clock hour that began at `hour`, `unsafe` for how many seconds the
    target was broken in all, `actors` who broke it how often.
    """

    since: int
    last: int
    hour: int = 0
    tries: int = 0
    fixes: int = 0
    unsafe: int = 0
    actors: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_fought(self) -> bool:
        return self.fixes >= FOUGHT_OVER

    @property
    def ends(self) -> int:
        return self.last + CALM

    def tries_at(self, now: int) -> int:
        return self.tries if self.hour == now // HOUR else 0

    def summary(self) -> str:
        began = datetime.fromtimestamp(self.since, UTC).isoformat(timespec="minutes")
        names = ", ".join(f"{name} ({count})" for name, count in self.actors.items())
        return f"put right {self.fixes} times since {began}, broken for {self.unsafe} s in all, by {names}"


def tried(contest: Contest | None, now: int) -> Contest:
    """One more fix begins; of a fight that is over nothing is left."""
    current = contest if contest and now < contest.ends else Contest(now, now)
    return replace(current, hour=now // HOUR, tries=current.tries_at(now) + 1, last=now)


def fixed(contest: Contest, actor: Actor, broken: float, now: int) -> Contest:
    """One more fix was made, of what the actor broke at `broken`."""
    name = str(actor) if str(actor) in contest.actors or len(contest.actors) < NAMED else OTHERS
    return replace(
        contest,
        last=now,
        fixes=contest.fixes + 1,
        unsafe=contest.unsafe + max(0, round(now - broken)),
        actors={**contest.actors, name: contest.actors.get(name, 0) + 1},
    )


def owner(actor: Actor) -> str:
    """Who is likely to put it back each time: a tool that shows itself, or whoever it was."""
    shown = f"{actor.via} {actor.agent}".lower()
    return next((tool for mark, tool in OWNERS.items() if mark in shown), str(actor))
