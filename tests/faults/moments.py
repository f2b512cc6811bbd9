"""The columns of the fault matrix: the requests of each action to Pinterest, step by step."""

import enum
from dataclasses import dataclass

from td_pinterest_op.audiences.actions import Add, Clear, Create, Delete, Remove, Replace
from td_pinterest_op.settings.table import ActionSpec

BATCH_SIZE = 8
BATCHES = 3


class Moment(enum.Enum):
    """A step of an action, which is one kind of request."""

    TOKEN = "token"
    LOOK_UP = "look-up"
    LIST_CREATION = "list creation"
    FIRST_BATCH = "first batch"
    MIDDLE_BATCH = "middle batch"
    LAST_BATCH = "last batch"
    AUDIENCE_CREATION = "audience creation"
    MOVE = "move"
    REMOVAL = "removal"
    READ_BACK = "read back"
    ANY = "any request"


@dataclass(frozen=True, kw_only=True)
class Where:
    """Selects the requests of a step: of those that match, `after` come first; `operation` None matches all."""

    operation: str | None = None
    method: str = ".*"
    after: int = 0


BATCH = (Moment.FIRST_BATCH, Moment.MIDDLE_BATCH, Moment.LAST_BATCH)
# A list is created with the first batch.
BATCHES_OF_NEW_LIST = (Moment.LIST_CREATION, Moment.MIDDLE_BATCH, Moment.LAST_BATCH)
CREATING = (Moment.LIST_CREATION, Moment.AUDIENCE_CREATION)
WRITES = (*CREATING, *BATCH, Moment.MOVE, Moment.REMOVAL)
ALL = tuple(moment for moment in Moment if moment is not Moment.ANY)

STEPS: dict[ActionSpec, tuple[Moment, ...]] = {
    Add.action: (Moment.TOKEN, Moment.LOOK_UP, *BATCH, Moment.READ_BACK),
    Remove.action: (Moment.TOKEN, Moment.LOOK_UP, *BATCH, Moment.READ_BACK),
    Create.action: (
        Moment.TOKEN,
        Moment.LOOK_UP,
        *BATCHES_OF_NEW_LIST,
        Moment.AUDIENCE_CREATION,
        Moment.READ_BACK,
    ),
    Replace.action: (Moment.TOKEN, Moment.LOOK_UP, *BATCHES_OF_NEW_LIST, Moment.MOVE, Moment.READ_BACK),
    Clear.action: (Moment.TOKEN, Moment.LOOK_UP, Moment.LIST_CREATION, Moment.MOVE, Moment.READ_BACK),
    Delete.action: (Moment.TOKEN, Moment.LOOK_UP, Moment.REMOVAL),
}

_WHERE: dict[Moment, Where] = {
    Moment.TOKEN: Where(operation="oauth/token"),
    Moment.LOOK_UP: Where(method="GET"),
    Moment.LIST_CREATION: Where(operation="customer_lists/create"),
    **{moment: Where(operation="customer_lists/update", after=number) for number, moment in enumerate(BATCH)},
    Moment.AUDIENCE_CREATION: Where(operation="audiences/create"),
    Moment.MOVE: Where(operation="audiences/update"),
    Moment.REMOVAL: Where(operation="audiences/update"),
    Moment.READ_BACK: Where(operation="audiences/get"),
    Moment.ANY: Where(),
}


def requests_of(action: ActionSpec, moment: Moment) -> Where:
    """Return the selection of an action's requests that are this step."""
    if moment is Moment.READ_BACK and action is not Create.action:
        # Earlier reads of the audience: before the rows, if there are some, for the plan, and twice before a switch.
        reads = 1 + bool(batches(action)) + 2 * (Moment.MOVE in STEPS[action])
        return Where(operation="audiences/get", after=reads)
    if moment in (Moment.MIDDLE_BATCH, Moment.LAST_BATCH) and batches(action) is BATCHES_OF_NEW_LIST:
        return Where(operation="customer_lists/update", after=BATCHES_OF_NEW_LIST.index(moment) - 1)
    return _WHERE[moment]


def batches(action: ActionSpec) -> tuple[Moment, ...]:
    """Return the steps that send records, in the order of the records."""
    if Moment.FIRST_BATCH in STEPS[action]:
        return BATCH
    return BATCHES_OF_NEW_LIST if Moment.LAST_BATCH in STEPS[action] else ()


def actions_by_way() -> list[list[ActionSpec]]:
    """Group the actions that take the same steps from their first batch on."""
    together: dict[object, list[ActionSpec]] = {}
    for action in STEPS:
        together.setdefault(batches(action) or action, []).append(action)
    return list(together.values())


def steps_done(action: ActionSpec, moment: Moment, *, applied: bool) -> frozenset[Moment]:
    """Return the steps that took effect when the run ends at `moment`; with `applied`, that one too."""
    steps = STEPS[action]
    return frozenset(steps[: steps.index(moment) + applied])
