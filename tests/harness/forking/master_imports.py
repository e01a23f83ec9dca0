"""What each master imports: for the process that masters are forked from only."""

from __future__ import annotations

import gc

import buildbot.master
import buildbot.www.service
from buildbot.plugins import schedulers, steps, util, worker
from sqlalchemy.dialects import sqlite
from twisted.scripts import twistd

from master_bridge.buildbot import rest_answers

#: Plugins are imported when they are asked for.
IMPORTED = (
    buildbot.master.BuildMaster,
    buildbot.www.service.WWWService,
    schedulers.ForceScheduler,
    steps.ShellCommand,
    util.AMQPBroker,
    worker.AMQPLatentWorker,
    rest_answers,
    sqlite,
    twistd,
)
gc.collect()
gc.freeze()  # or the first round of each fork's collector copies all that it shares
