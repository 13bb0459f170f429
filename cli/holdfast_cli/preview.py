"""What a guardrail would find and do in an account, without doing it.

Nothing here can write: the door to AWS that it uses refuses every operation that is not a read, and its `apply`, which
in the functions makes the planned calls, refuses too.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from botocore.exceptions import BotoCoreError, ClientError
from holdfast import ApiCall, Arn, Aws, BadEvent, Case, Event, Violation, shape
from holdfast.aws import WriteRefused, error_code
from holdfast.event import SWEEP
from holdfast.settings import Choices

from holdfast_cli.deployment import Handler


class Window(Aws):
    """The door that does not open."""

    def apply(self, call: ApiCall) -> NoReturn:
        raise WriteRefused(f"{call.service}:{call.operation} in a preview")


@dataclass(frozen=True)
class Sight:
    """One target as it is: the state as plain JSON (None: gone), what is wrong with it, or why it couldn't be read."""

    target: str
    found: Any = None
    violation: Violation | None = None
    exemption: str = ""
    error: str = ""


def preview(handler: Handler, event: Event, window: Window, choices: Choices, settings: Any) -> list[Sight]:
    """Looks at every target of the event, as the function would at its first round and without its memory.

    Raises BadEvent for a target that is not one of the guardrail's, as the function would.
    """
    found = [target for target in dict.fromkeys(_targets(handler, event, window)) if _is_ours(target, window)]
    if strange := [target for target in found if not handler.fits(target, window.here)]:
        raise BadEvent(f"it does not guard {strange[0][:200]}")
    return [_sight(handler, event, target, window, choices, settings) for target in found]


def _targets(handler: Handler, event: Event, window: Window) -> Iterable[Arn]:
    if event.is_call:
        return (found for target in handler.targets(event) for found in handler.related(target, window))
    return handler.inventory(window) if event.name == SWEEP else event.looks_at or ()


def _is_ours(target: Arn, window: Window) -> bool:
    return target.account in ("", window.here.account)


def _sight(handler: Handler, event: Event, target: Arn, window: Window, choices: Choices, settings: Any) -> Sight:
    actor = event.trusted_actor
    case = Case[Any, Any](target, settings, choices.shared, None, window.here, actor, event.name if actor else "")
    try:
        state = _read(handler, case, window)
    except (ClientError, BotoCoreError) as error:
        return Sight(target, error=str(error))
    violation = _decide(handler, event, case, state)
    covering = (name for name, e in choices.exemptions.items() if violation and e.covers(target, case.actor))
    return Sight(target, shape.plain(state), violation, next(covering, ""))


def _read(handler: Handler, case: Case[Any, Any], window: Window) -> Any:
    try:
        return handler.read(case, window)
    except ClientError as error:
        if error_code(error) in handler.missing:
            return None
        raise


def _decide(handler: Handler, event: Event, case: Case[Any, Any], state: Any) -> Violation | None:
    """Of a look at a thing that nobody knows, what is there is taken for right, as at the function's first sight."""
    if state is None:
        return handler.gone(case) if event.is_call else None
    first_sight = handler.baseline is not None and not event.is_call
    return handler.evaluate(state, replace(case, baseline=state) if first_sight else case)
