"""How large a battery, a shard and what is told of a unit may be."""

from __future__ import annotations

#: Units of one battery, and bytes (UTF-8) of one unit's name.
UNITS_MAX = 100_000
UNIT_BYTES_MAX = 4 * 1024
#: Units of one shard, and bytes of their names. Linux takes 128 KiB in one argument (where a command wants all units in
#: one, and escaped), and 2 MiB in all of them together.
SHARD_UNITS_MAX = 2_000
SHARD_BYTES_MAX = 48 * 1024
#: Units in a shard while nothing is known of how long they take.
SHARD_UNITS_UNKNOWN = 32
#: Characters of what a report says of one unit.
DETAIL_MAX = 16 * 1024
#: Of all units of a battery, or of a shard, together; what comes later is cut to so many characters each.
DETAILS_MAX = 16 * 1024 * 1024
SHARD_DETAILS_MAX = 1024 * 1024
DETAIL_SHORT = 200
#: Offers that wait for an agent beside those that free agents will take at once: who becomes free, and who comes late,
#: finds one there.
SPARE_OFFERS = 2
#: Shards that are offered or run at one time.
OPEN_MAX = 500
#: Shards that are divided because their command failed and no report tells which of their units it was.
NARROWINGS_MAX = 64
#: Failures that are no unit's, and reports that cannot be used, which are remembered.
PROBLEMS_MAX = 20
#: So often may a shard be lost before it is divided; a unit that stands alone is given up then.
LOSSES_MAX = 2


def wrong_unit(unit: object) -> str | None:
    """Why `unit` cannot be one; None: it can. It is one argument of a command, and one line of a log."""
    if not isinstance(unit, str):
        return f"a unit is a text, not {unit!r}"[:300]
    if not unit.strip():
        return "a unit has no name"
    if "\0" in unit or "\n" in unit:
        return f"unit {unit[:100]!r}: a name without line ends and NUL"
    try:
        size = len(unit.encode())
    except UnicodeEncodeError:
        return f"unit {unit[:100]!r} is not Unicode text"
    if size > UNIT_BYTES_MAX:
        return f"unit {unit[:100]!r}…: {size} bytes, more than {UNIT_BYTES_MAX}"
    return None
