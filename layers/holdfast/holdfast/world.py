"""Wired once, at the edge: the door to AWS, the ledger, the settings, the ways out."""

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.aws import Aws
from holdfast.event import Place
from holdfast.ledger import Ledger
from holdfast.settings import Defaults, Parameters

BUS = "default"


@dataclass(frozen=True)
class World:
    """What one guardrail's function works with. `guardrail` is its id, the name of its folder with dashes."""

    guardrail: str
    aws: Aws
    ledger: Ledger
    topic: str
    defaults: Defaults
    parameters: Parameters
    bus: str = BUS

    @property
    def here(self) -> Place:
        return self.aws.here

    @classmethod
    def of(cls, function_arn: str, environment: Mapping[str, str]) -> "World":
        """From the environment that the template gives a function; its ARN says where we run."""
        aws = Aws(place(function_arn, environment))
        days = int(environment.get("HOLDFAST_RECORD_DAYS", "400"))
        return cls(
            guardrail=environment["POWERTOOLS_SERVICE_NAME"],
            aws=aws,
            ledger=Ledger(aws, environment["HOLDFAST_TABLE"], days),
            topic=environment["HOLDFAST_TOPIC"],
            defaults=Defaults.of(environment),
            parameters=Parameters(aws),
        )


def place(function_arn: str, environment: Mapping[str, str]) -> Place:
    _, partition, _, region, account, *_ = function_arn.split(":")
    return Place(account, region, partition, environment.get("HOLDFAST_ROLE", ""))
