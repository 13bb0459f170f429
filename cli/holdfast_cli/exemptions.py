"""What a function takes as an exemption, and the person who wrote it may not mean."""

import re
import time
from collections.abc import Iterable, Iterator
from itertools import product

from holdfast.settings import Exemption

from holdfast_cli.deployment import handler

YEAR = 366 * 24 * 3600  # seconds


def doubts(exemption: Exemption, guardrails: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each with the field that it is about. `guardrails` are those for which the exemption may be meant."""
    if exemption.until < time.time():
        yield "expires", f"over since {exemption.expires}: it exempts nothing any more"
    if exemption.until > time.time() + YEAR:
        yield "expires", "more than a year away: by then nobody may know why"
    guarded = [arn for guardrail in guardrails for arn in covered(guardrail)]
    if not any(overlap(exemption.resource, arn) for arn in guarded):
        yield "resource", f"it exempts nothing: what is guarded is like {' or '.join(dict.fromkeys(guarded))}"
    elif not re.split("[:/]", exemption.resource)[-1].strip("*?"):
        yield "resource", "nothing but wildcards for a name: it exempts all that there are"


def covered(guardrail: str) -> Iterator[str]:
    """The ARNs that it may guard, as globs: `arn:*:ec2:*:*:vpc-endpoint/*` and `arn:*:ec2:*:*:vpc/*`."""
    for pattern in handler(guardrail).covers:
        glob = re.sub(r"\{\w+\}|\[[^]]+\]\+", "*", pattern)
        yield from map("".join, product(*(part.split("|") for part in re.split("[()]", glob))))


def overlap(pattern: str, arn: str) -> bool:
    """Whether any text is like both. A `*` of `arn` holds no `/` and no `:`, as in the patterns of guardrails."""
    places = {0}  # in `arn`, up to where it may be like the pattern so far
    for char in pattern:
        places |= {at + 1 for at in places if arn[at : at + 1] == "*"}
        if char == "*":
            places = set(range(min(places, default=len(arn) + 1), len(arn) + 1))
        else:
            places = {at + (arn[at] != "*") for at in places if at < len(arn) and _agree(char, arn[at])}
    return any(not arn[at:].strip("*") for at in places)


def _agree(char: str, part: str) -> bool:
    return char in ("?", part) or (part == "*" and char not in "/:")
