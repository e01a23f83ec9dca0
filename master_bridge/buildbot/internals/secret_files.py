"""The broker's URL as Buildbot's secrets have it now: Buildbot renders and reads them when it is configured only.

Leans on private names of Buildbot 4.2 and 4.3: `_config_args` and `_config_kwargs`, a service's arguments as master.cfg
has them (buildbot/util/service.py).
"""

from __future__ import annotations

from typing import Any

from buildbot.interfaces import IRenderable
from buildbot.secrets.providers.file import SecretInAFile
from twisted.internet import defer


def configured_url(service: Any) -> Any:
    """The `url` of `service` as it stands in master.cfg, before it was rendered; None where it is no secret."""
    url = service._config_kwargs.get("url")
    return url if IRenderable.providedBy(url) and not isinstance(url, str) else None


@defer.inlineCallbacks
def reload_secrets(master: Any) -> Any:
    """Read the files of secrets again, as a reconfig does that changes them. Fails with what a provider fails with."""
    for provider in master.secrets_manager:
        if isinstance(provider, SecretInAFile):
            # `configureService` would see no difference, and do nothing
            yield provider.reconfigService(*provider._config_args, **provider._config_kwargs)
