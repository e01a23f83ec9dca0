"""How an agent leaves, and how it comes back (the agent's table: drain, start with a journal)."""

from __future__ import annotations

from conformance.errors import expect
from conformance.requirement import Topic
from conformance.stage import Stage
from contracts.messages import Claim, Gone, Resume

requirement = Topic()
RULE = "States"


@requirement(
    "leave.drain",
    "SIGTERM: finish what is held, take nothing new, leave with status 0",
    rule=RULE,
    level="should",
    own_worker=True,
)
def drain(stage: Stage) -> None:
    worker = stage.worker
    assert worker is not None
    session = stage.session()
    stage.begin_shell(session, 1, "sleep 2; echo end")
    worker.terminate()
    stage.master.pump(0.5)
    offer = stage.master.offer()
    completed = stage.master.completed(session, 1)
    expect(session.data(1, "stdout") == b"ready\nend\n", "it did not finish its command", completed)
    stage.shell(session, 2, "true")
    expect(worker.running, "it left before its session was released", completed)
    stage.master.release(session)
    stage.master.wait(lambda: not worker.running, "it to leave", 2 * stage.master.patience)
    expect(worker.status == 0, f"its status is {worker.status}")
    claims = [claim for claim in stage.master.all(Claim) if claim.offer == offer.offer]
    expect(not claims, "it claimed an offer while it drained", claims[0] if claims else None)
    expect(
        stage.master.broker.waiting() == 1,
        f"{stage.master.broker.waiting()} offers are in the queue, not the one that it did not take",
        session.claim,
    )


@requirement(
    "leave.idle", "SIGTERM while idle: leave at once with status 0", rule=RULE, level="should", own_worker=True
)
def idle(stage: Stage) -> None:
    worker = stage.worker
    assert worker is not None
    worker.terminate()
    stage.master.wait(lambda: not worker.running, "it to leave", 2 * stage.master.patience)
    expect(worker.status == 0, f"its status is {worker.status}")


@requirement(
    "leave.killed",
    "Killed and started again: the session resumes, or its offer is claimed anew",
    rule=RULE,
    own_worker=True,
)
def killed(stage: Stage) -> None:
    worker = stage.worker
    assert worker is not None
    session = stage.session()
    stage.begin_shell(session, 1, "echo $$; exec sleep 600")
    pid = stage.pid_of(session, 1)
    worker.kill()
    stage.restart_worker()
    answer = stage.master.wait(
        lambda: [
            message
            for message in stage.master.received
            if (isinstance(message, Resume) and message.session == session.id)
            or (isinstance(message, Claim) and message.offer == session.offer.offer and message.session != session.id)
        ],
        "a resume of the session, or a new claim of its offer",
        6 * stage.master.patience,
    )[0]
    if isinstance(answer, Resume):
        session.silent = True
        stage.master.refuse(answer, "resume")
        stage.was_given_back(session.offer)
    else:
        stage.master.over.add(session.offer.offer)
        stage.master.refuse(answer, "claim")
    stage.pid_gone(pid, "the command of the session that is over")


@requirement(
    "leave.killed-told",
    "Started again without a session, it says `gone` to its bridge",
    rule=7,
    level="should",
    own_worker=True,
)
def killed_told(stage: Stage) -> None:
    worker = stage.worker
    assert worker is not None
    session = stage.session()
    worker.kill()
    stage.restart_worker()
    stage.master.wait(
        lambda: (
            stage.master.all(Gone, lambda gone: gone.session == session.id)
            or stage.master.all(Resume, lambda resume: resume.session == session.id)
        ),
        "a `gone` or a resume of the session",
        6 * stage.master.patience,
    )
