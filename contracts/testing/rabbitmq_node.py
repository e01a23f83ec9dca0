"""The old name of `contracts.testing.rabbitmq.node`; it goes with the release after 0.1.0."""

import warnings

from contracts.testing.rabbitmq.node import *  # noqa: F403

warnings.warn(f"{__name__} is contracts.testing.rabbitmq.node now", DeprecationWarning, stacklevel=2)
