"""What Pinterest's statuses of an audience mean. Any that is not here means that Pinterest is not done with it.

Source: AudienceStatus of the API description 5.28, and words that were seen for a removed audience.
"""

from __future__ import annotations

USABLE = frozenset({"READY"})
TOO_SMALL = frozenset({"TOO_SMALL", "PERSONAS_INELIGIBLE_SIZE"})
GONE = frozenset({"REMOVED", "DELETED", "ARCHIVED"})
