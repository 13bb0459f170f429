"""What the engine's records, settings and states are: dataclasses that are cheap to declare."""

from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Value:
    """A dataclass that mypy knows as frozen: `class Told(Value): …` with annotated fields.

    Keyword arguments only with `kw_only=True`. `dataclass` writes and compiles how a class is compared, shown and kept
    from being changed anew for every one: half of what importing the engine took. Here the first two stand once, and
    mypy sees to the third: nothing refuses a change at run time. What holds a mapping can't be hashed.
    """

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls, *, kw_only: bool = False) -> None:
        super().__init_subclass__()
        dataclass(eq=False, repr=False, kw_only=kw_only)(cls)

    def __eq__(self, other: object) -> bool:
        return _content(self) == _content(other) if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(_content(self).values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in _content(self).items())})"


def _content(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}
