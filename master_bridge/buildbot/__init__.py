"""The bridge inside an unmodified Buildbot master: its service, its workers, its steps.

`broker` is the service that owns the link and the machine, `worker` the latent worker, `steps` the step that is its own
unit of work. All Deferreds of ours live here and below.

Not here: Buildbot's private names (`internals`), AMQP (`link`).
"""
