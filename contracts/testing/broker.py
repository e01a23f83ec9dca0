"""The old name of `contracts.testing.memory_broker.broker`; it goes with the release after 0.1.0."""

import warnings

from contracts.testing.memory_broker.broker import *  # noqa: F403

warnings.warn(f"{__name__} is contracts.testing.memory_broker.broker now", DeprecationWarning, stacklevel=2)
