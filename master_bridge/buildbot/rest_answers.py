"""An opt-in remedy for a bug of Buildbot 4.2.0 to 4.3.0: the web server writes its REST answers from a thread.

Twisted's transports are not thread-safe. Under load an answer is cut short, or bytes of two answers mix; when a client
leaves before its answer is written, the reactor keeps a file descriptor that is closed, and once its number comes back
no connection is accepted any more: the pages are dead until the master is started again. It happens without this
plugin, too. Buildbot's issue 9065 and Twisted's issue 11625 tell of it; Buildbot's main branch has it mended.

This package patches nothing in Buildbot by itself. A master.cfg asks for it:

    from master_bridge.buildbot.rest_answers import answer_in_the_reactor

    answer_in_the_reactor()
"""

from master_bridge.buildbot.internals.rest_answers import answer_in_the_reactor

__all__ = ["answer_in_the_reactor"]
