"""What is broken again and again: who fights over it, and when that must neither fill mailboxes nor use up quotas."""

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import UTC, datetime

from holdfast.event import Actor
from holdfast.value import Value

HOUR = 3600
CALM = HOUR  # seconds without a fix after which a fight is over
FOUGHT_OVER = 3  # fixes: one message then says it all, until it is over
NAMED = 5  # actors that are counted by name, and kinds of break that are told of within a fight
KIND = 200  # letters by which kinds of break are told apart
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
    """The fixes of one target with less than an hour between them, until the end of a fight is told. In epoch seconds.

    `tries` is how often a fix was begun in the clock hour that began at `hour`, `unsafe` for how many seconds the
    target was broken in all, `actors` who broke it how often, `kinds` what was wrong.
    """

    since: int
    last: int
    hour: int = 0
    tries: int = 0
    fixes: int = 0
    unsafe: int = 0
    actors: Mapping[str, int] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()

    def has_told(self, actor: Actor, what: str) -> bool:
        """True when there is a fight, and neither who broke it nor what is wrong is news, or too much was."""
        new_actor = str(actor) not in self.actors and len(self.actors) < NAMED
        new_kind = what[:KIND] not in self.kinds and len(self.kinds) < NAMED
        return self.is_fought and not (new_actor or new_kind)

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
    """One more fix begins; of what was no fight nothing is left after an hour."""
    current = contest if contest and (now < contest.ends or contest.is_fought) else Contest(now, now)
    return replace(current, hour=now // HOUR, tries=current.tries_at(now) + 1, last=now)


def fixed(contest: Contest, actor: Actor, what: str, broken: float, now: int) -> Contest:
    """One more fix was made, of what the actor broke at `broken`."""
    kinds = dict.fromkeys((*contest.kinds, what[:KIND]))
    name = str(actor) if str(actor) in contest.actors or len(contest.actors) < NAMED else OTHERS
    return replace(
        contest,
        last=now,
        fixes=contest.fixes + 1,
        unsafe=contest.unsafe + max(0, round(now - broken)),
        actors={**contest.actors, name: contest.actors.get(name, 0) + 1},
        kinds=tuple(kinds)[:NAMED],
    )


def owner(actor: Actor) -> str:
    """Who is likely to put it back each time: a tool that shows itself, or whoever it was."""
    shown = f"{actor.via} {actor.agent}".lower()
    return next((tool for mark, tool in OWNERS.items() if mark in shown), str(actor))
