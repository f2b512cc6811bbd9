"""What the statuses of Pinterest's audiences mean."""

import enum


class Condition(enum.Enum):
    """An audience's condition. Each value lists the condition's Pinterest statuses. Other statuses mean MATCHING."""

    # Source: AudienceStatus of the API description 5.28, and the statuses that removed audiences were seen with.
    READY = ("READY",)
    TOO_SMALL = ("TOO_SMALL", "PERSONAS_INELIGIBLE_SIZE")
    REMOVED = ("REMOVED", "DELETED", "ARCHIVED")
    MATCHING = ()


def classify_status(status: str) -> Condition:
    """Return the Condition of an audience that has this Pinterest status. An unknown status means MATCHING."""
    return next((condition for condition in Condition if status.upper() in condition.value), Condition.MATCHING)
