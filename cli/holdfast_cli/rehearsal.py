"""One event and the local cloud: the deployed function invoked with it, for real."""

import filecmp
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast import Misshapen, shape
from holdfast.model import Record
from holdfast.settings import PATH

from holdfast_cli import events, project, rules
from holdfast_cli.deployment import Deployment
from holdfast_cli.errors import Complaint
from holdfast_cli.local_cloud.cloud import LocalCloud
from holdfast_cli.local_cloud.errors import LocalCloudError
from holdfast_cli.local_cloud.server import ACCOUNT
from holdfast_cli.template import Values

LAYER = project.ROOT / ".build" / "layer"
ENGINE = project.ROOT / "layers" / "holdfast" / "holdfast"
REGION = "us-east-1"
STACK = "holdfast"
HEARD = "holdfast-heard"
EMPTY = "the local cloud is a new account: whatever the event names was never made in it (`holdfast demo` makes things)"


@dataclass(frozen=True)
class Run:
    """What the function answered, told and logged. `error` is what it raised, `idle` why it looked at nothing."""

    guardrail: str
    outcomes: Mapping[str, str]
    error: str
    idle: str
    messages: tuple[Record, ...]
    log: tuple[str, ...]
    notes: tuple[str, ...]


def run(guardrail: str, raw: Mapping[str, Any], deployment: Deployment) -> Run:
    """Deploys the template into a new local cloud and invokes the guardrail's function. Raises Complaint."""
    try:
        shared = shape.text(deployment.choices(guardrail).shared)
        with _cloud(deployment.values, {**deployment.tree, "settings": shared}) as cloud:
            return _invoked(guardrail, raw, deployment, cloud)
    except Misshapen as error:
        raise Complaint(f"the settings are wrong: {error}") from None
    except LocalCloudError as error:
        raise Complaint(f"the local cloud: {error}") from None


@contextmanager
def _cloud(values: Values, tree: Mapping[str, str]) -> Iterator[LocalCloud]:
    """A local cloud with the stack in it, and a queue that hears what it tells."""
    layer = built_layer()
    stack = {name: ",".join(value) if isinstance(value, list) else value for name, value in values.items()}
    with LocalCloud(region=REGION) as cloud:
        for name, value in tree.items():
            cloud.client("ssm").put_parameter(Name=f"{PATH}/{name}", Value=value, Type="String")
        topic = cloud.deploy(STACK, project.TEMPLATE, stack, layer)["TopicArn"]
        _listen(cloud, topic)
        yield cloud


def _listen(cloud: LocalCloud, topic: str) -> None:
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{HEARD}"
    sends = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [{**sends, "Resource": queue}]}
    cloud.client("sqs").create_queue(QueueName=HEARD, Attributes={"Policy": json.dumps(policy)})
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)


def built_layer() -> Path:
    """The functions' layer. Raises Complaint if it isn't built from this engine."""
    names = sorted(path.name for path in ENGINE.glob("*.py"))
    same, _, _ = filecmp.cmpfiles(ENGINE, LAYER / "python" / "holdfast", names, shallow=False)
    if sorted(same) != names:
        raise Complaint(f"the functions' layer in {LAYER} is missing or old: run `make layer`")
    return LAYER


def _invoked(guardrail: str, raw: Mapping[str, Any], deployment: Deployment, cloud: LocalCloud) -> Run:
    name = f"{STACK}-{guardrail}"
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(_moved(raw)))
    value = json.loads(answer["Payload"].read() or "{}")
    failed = "FunctionError" in answer
    started = guardrail in rules.starts(raw)
    return Run(
        guardrail,
        outcomes={} if failed else value,
        error=f"{value.get('errorType')}: {value.get('errorMessage')}" if failed else "",
        idle="" if failed or value else _idle(guardrail, raw, deployment),
        messages=tuple(_messages(cloud)),
        log=tuple(cloud.logs(name).splitlines()),
        notes=(EMPTY,) if started else (EMPTY, rules.why_not(guardrail, raw)),
    )


def _idle(guardrail: str, raw: Mapping[str, Any], deployment: Deployment) -> str:
    """Why it looked at nothing."""
    mode, lacks, _ = deployment.standing(guardrail)
    if lacks:
        return f"it is off, for it lacks {lacks}; give it with --parameter or --settings"
    if mode == "off":
        return "its mode is off"
    if raw["detail"].get("errorCode"):
        return "the call failed, and changed nothing"
    return "the event touched nothing that this guardrail covers"


def _moved(raw: Mapping[str, Any]) -> Any:
    """The event as if it had happened in the local cloud: a function refuses another account's."""
    text, account = json.dumps(raw), str(raw.get("account") or events.account(raw["detail"]))
    for there, here in ((account, ACCOUNT), (str(raw.get("region") or ""), REGION)):
        text = text.replace(there, here) if len(there) > len("12345678") else text
    return {**json.loads(text), "account": ACCOUNT}


def _messages(cloud: LocalCloud) -> Iterator[Record]:
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName=HEARD)["QueueUrl"]
    while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in batch:
            told = json.loads(json.loads(message["Body"])["Message"])
            yield shape.parse(Record, {name: value for name, value in told.items() if name != "id"})
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
