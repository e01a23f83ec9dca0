"""The bridge inside an unmodified Buildbot master. Everything of Buildbot's and all Deferreds of ours live here.

`broker` is the service that owns the link and the machine, `worker` the latent worker, `steps` the step that is its
own unit of work, `connection` and `session` what Buildbot's commands go through.
"""
