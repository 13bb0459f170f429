"""Wired once, at the edge: the door to AWS, the ledger, the settings, the ways out."""

import gc
from collections.abc import Iterable, Mapping
from contextlib import suppress

from botocore.exceptions import BotoCoreError, ClientError

from holdfast.aws import Aws
from holdfast.event import Place
from holdfast.ledger import SURVEY, Ledger
from holdfast.settings import Defaults, Parameters
from holdfast.value import Value

BUS = "default"
ENGINE = ("dynamodb", "events", "sns", "ssm")  # the services that the path itself calls


class World(Value):
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
    def of(cls, environment: Mapping[str, str]) -> "World":
        """From the environment that Lambda and the template give a function."""
        aws = Aws(place(environment))
        days = int(environment.get("HOLDFAST_RECORD_DAYS", "400"))
        return cls(
            guardrail=environment["POWERTOOLS_SERVICE_NAME"],
            aws=aws,
            ledger=Ledger(aws, environment["HOLDFAST_TABLE"], days),
            topic=environment["HOLDFAST_TOPIC"],
            defaults=Defaults.of(environment),
            parameters=Parameters(aws),
        )

    def make_ready(self, services: Iterable[str]) -> None:
        """What the first event would have to wait for: Lambda's INIT has a whole processor, a small function has not.

        Settings that can't be read yet are asked for again at the event.
        """
        gc.disable()
        self.aws.make_ready((*ENGINE, *services))
        with suppress(ClientError, BotoCoreError):
            self.parameters.read()
            self.ledger.page(self.guardrail, SURVEY)  # the TLS handshake with the table, too, is over
        gc.freeze()  # what was made by now stays: the collector need not go through it at every event
        gc.enable()


def place(environment: Mapping[str, str]) -> Place:
    """Where we run. Its ARN would not tell: SAM's emulator gives every function that of one made-up account."""
    return Place(
        environment["HOLDFAST_ACCOUNT"],
        environment["AWS_REGION"],
        environment["HOLDFAST_PARTITION"],
        environment.get("HOLDFAST_ROLE", ""),
    )
