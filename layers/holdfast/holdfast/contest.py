"""What is broken again and again: who fights over it, and when that must neither fill mailboxes nor use up quotas."""

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import UTC, datetime

from holdfast.event import Actor
from holdfast.value import Value

HOUR = 3600
CALM = HOUR  # seconds without a break after which a fight is over
FOUGHT_OVER = 3  # breaks: one message then says it all, until it is over
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
    """The breaks of one target with less than an hour between them, until the end of a fight is told. In epoch seconds.

    `tries` is how often a fix was begun in the clock hour that began at `hour`, `breaks` how often it was broken,
    `fixes` how many of these were put right, after `unsafe` seconds in all; `actors` who broke it how often, `kinds`
    what was wrong.
    """

    since: int
    last: int
    hour: int = 0
    tries: int = 0
    breaks: int = 0
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
        return self.breaks >= FOUGHT_OVER

    @property
    def ends(self) -> int:
        return self.last + CALM

    def tries_at(self, now: int) -> int:
        return self.tries if self.hour == now // HOUR else 0

    def summary(self) -> str:
        began = datetime.fromtimestamp(self.since, UTC).isoformat(timespec="minutes")
        names = ", ".join(f"{name} ({count})" for name, count in self.actors.items())
        mended = f"; put right {self.fixes} times, and broken for {self.unsafe} s in all" if self.fixes else ""
        return f"broken {self.breaks} times since {began}, by {names}{mended}"


def tried(contest: Contest | None, now: int) -> Contest:
    """One more fix begins."""
    current = _current(contest, now)
    return replace(current, hour=now // HOUR, tries=current.tries_at(now) + 1, last=now)


def broken(contest: Contest | None, actor: Actor, what: str, now: int) -> Contest:
    """One more break by the actor."""
    current = _current(contest, now)
    name = str(actor) if str(actor) in current.actors or len(current.actors) < NAMED else OTHERS
    return replace(
        current,
        last=now,
        breaks=current.breaks + 1,
        actors={**current.actors, name: current.actors.get(name, 0) + 1},
        kinds=tuple(dict.fromkeys((*current.kinds, what[:KIND])))[:NAMED],
    )


def fixed(contest: Contest, unsafe: float) -> Contest:
    """The last break was put right, after so many seconds."""
    return replace(contest, fixes=contest.fixes + 1, unsafe=contest.unsafe + max(0, round(unsafe)))


def _current(contest: Contest | None, now: int) -> Contest:
    """Of what was no fight nothing is left after an hour."""
    return contest if contest and (now < contest.ends or contest.is_fought) else Contest(now, now)


def owner(actor: Actor) -> str:
    """Who is likely to put it back each time: a tool that shows itself, or whoever it was."""
    shown = f"{actor.via} {actor.agent}".lower()
    return next((tool for mark, tool in OWNERS.items() if mark in shown), str(actor))
