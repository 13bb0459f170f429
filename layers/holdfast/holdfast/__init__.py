"""Holdfast's engine: the one path every event takes. What a guardrail needs is here."""

import gc

# Nothing that is imported now is garbage; looking for some takes a twelfth of a cold start.
gc.disable()

from holdfast.aws import NO_BUCKET, SHUT_OUT, Aws, buckets, unless
from holdfast.event import Actor, Arn, BadEvent, Event, Place, first, listed, mapping
from holdfast.guardrail import Guardrail, NoSettings
from holdfast.model import ApiCall, Case, Violation
from holdfast.settings import BucketPattern, Owner, PrincipalArn, Reason, SharedSettings
from holdfast.shape import Lacking, Misshapen
from holdfast.value import Value

gc.freeze()  # or the collector would go through all of it at once
gc.enable()

__all__ = [
    "NO_BUCKET",
    "SHUT_OUT",
    "Actor",
    "ApiCall",
    "Arn",
    "Aws",
    "BadEvent",
    "BucketPattern",
    "Case",
    "Event",
    "Guardrail",
    "Lacking",
    "Misshapen",
    "NoSettings",
    "Owner",
    "Place",
    "PrincipalArn",
    "Reason",
    "SharedSettings",
    "Value",
    "Violation",
    "buckets",
    "first",
    "listed",
    "mapping",
    "unless",
]
