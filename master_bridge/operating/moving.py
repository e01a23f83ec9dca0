"""A fleet moves to another place: each agent is told its own URL there, and is waited for (docs/how-to/moving.md)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr, ValidationError

from contracts.errors import BadSeal
from contracts.messages import Status
from contracts.operations.amqp_url import BadURL
from contracts.operations.office_url import parse_agent_url
from contracts.operations.toml_file import BadFile, read_toml
from contracts.topology import key_word
from contracts.trust.moving import Destination, seal_move
from master_bridge.operating.errors import OperatingError
from master_bridge.operating.port import OperatorsLink
from master_bridge.operating.survey import Survey, whose


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What became of those that were told. `unable`: too old, or without the library that opens what is sealed."""

    moved: list[Status]
    late: list[Status]
    missed: list[Status]
    unable: list[Status]


def destinations(folder: Path, accounts: Iterable[str]) -> dict[str, Destination]:
    """Account -> where its agents are to be, of the files that `master-bridge enroll` has written to `folder`.

    Raises `OperatingError` for one that is not there or cannot be used.
    """
    found = {}
    missing = []
    for account in sorted(set(accounts)):
        for name in (f"{account}.toml", f"{account}.url"):
            if (folder / name).exists():
                found[account] = _destination(folder / name, account)
                break
        else:
            missing.append(account)
    if missing:
        raise OperatingError(
            f"{folder} has no file for {', '.join(missing)}: `master-bridge enroll NAME … --output {folder}/NAME.toml` "
            "makes an account at the new place, and its file"
        )
    return found


def _destination(path: Path, account: str) -> Destination:
    """Raises `OperatingError`, without any secret."""
    try:
        if path.suffix == ".url":
            url, authority = path.read_text("utf-8").strip(), None
        else:
            table = read_toml(path)
            url, authority = str(table.get("url") or table.get("amqp_url") or ""), table.get("tls_ca")
            if isinstance(authority, str) and not authority.lstrip().startswith("-----BEGIN"):
                authority = Path(path.parent, authority).read_text("ascii")
        user = parse_agent_url(url).user
        destination = Destination(url=SecretStr(url), tls_ca=authority)
    except OSError as error:
        raise OperatingError(f"{error.filename}: {error.strerror}") from None
    except (BadFile, BadURL) as error:
        raise OperatingError(f"{path}: {error}") from None
    except (ValidationError, UnicodeDecodeError):
        raise OperatingError(f"{path} holds no URL of an agent, or authorities that are too long") from None
    if key_word(user) != account:
        raise OperatingError(
            f"{path} is of account {user!r}: sessions belong to an account, so agents of {account!r} need one of that "
            "name at the new place"
        )
    return destination


def check_masters(here: Survey, there: Survey) -> None:
    """Whoever agents work for must be at both. Raises `OperatingError`."""
    if not here.masters:
        raise OperatingError("no master is heard here: move agents while their master serves both places")
    if missing := here.masters - there.masters:
        raise OperatingError(
            f"not heard at the new place: {', '.join(sorted(missing))}. Its agents would find nobody there: give its "
            "Broker the new url and this place as moving_from, and reconfigure it"
        )


def tell_to_move(
    link: OperatorsLink, agents: Sequence[Status], places: Mapping[str, Destination]
) -> tuple[list[Status], list[Status], list[Status]]:
    """Each agent is told its own destination: those that were told, were not there, and cannot be told."""
    told: list[Status] = []
    missed: list[Status] = []
    unable: list[Status] = []
    for agent in agents:
        if agent.key is None:
            unable.append(agent)
            continue
        try:
            message = seal_move(
                places[whose(agent)[0]], key=agent.key, address=agent.address, instance=agent.instance,
                random=os.urandom,
            )  # fmt: skip
        except BadSeal:
            unable.append(agent)
            continue
        (told if link.tell(agent.address, message) else missed).append(agent)
    return told, missed, unable


def move(here: Survey, there: Survey, agents: Sequence[Status], folder: Path, seconds: float) -> Moved:
    """Tell `agents`, and wait until they are heard there. Raises `OperatingError`, before anybody is told."""
    places = destinations(folder, [whose(agent)[0] for agent in agents])
    check_masters(here, there)
    told, missed, unable = tell_to_move(here.link, agents, places)

    def arrived() -> set[tuple[str, str]]:
        here.link.wait(0)  # or its master takes this connection for a dead one
        return {whose(status) for status in there.agents}

    wanted = {whose(agent) for agent in told}
    there.listen(seconds, until=lambda: wanted <= arrived())
    now = arrived()
    return Moved(
        moved=[agent for agent in told if whose(agent) in now],
        late=[agent for agent in told if whose(agent) not in now],
        missed=missed,
        unable=unable,
    )
