"""All faults, as `broken_worker` is given them."""

from __future__ import annotations

from tests.acceptance.protocol import faults, operators_faults

FAULTS = {**faults.FAULTS, **operators_faults.FAULTS}
