"""What this package takes from MiniStack's inside, and may lose with its next version."""

import inspect
from operator import attrgetter

from ministack.core import container_reaper, iam_actions, iam_evaluator  # type: ignore[import-not-found]
from ministack.services import eventbridge, iam  # type: ignore[import-not-found]

_CONTRACT = (
    (container_reaper, "instance_id", ""),
    (eventbridge, "_put_events", "data allow_aws_source"),
    (iam, "_roles.get", "key default"),
    (iam_actions, "extract_resource_arn", "service method path headers body query_params region account_id"),
    (iam_actions, "request_tag_context", "service iam_action body params"),
    (iam_evaluator, "_resolve_condition_key", "key ctx"),
)


class ContractError(Exception):
    """MiniStack isn't as this package knows it."""


def check() -> None:
    """Raise ContractError, with what to do, if MiniStack has changed what this package reaches into."""
    for module, name, parameters in _CONTRACT:
        try:
            found = " ".join(inspect.signature(attrgetter(name)(module)).parameters)
        except AttributeError:
            found = "nothing: it is gone"
        if found != parameters:
            raise ContractError(
                f"{module.__name__}.{name} takes {found}, not {parameters}. Pin MiniStack's version again "
                "(pyproject.toml, group local-cloud), or see how it now does this and change local_cloud/bridge.py or "
                "authorization.py."
            )
