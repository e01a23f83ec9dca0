"""Times and sizes of the protocol. Seconds and bytes. Rules are numbered as in docs/protocol.md."""

from __future__ import annotations

#: Rule 9: a bridge pings each holder this often; the ping carries `stored`.
PING_INTERVAL = 2.0
#: Rule 9: an agent that heard nothing from its bridge for this long resumes its session again …
SILENCE_BEFORE_RESUME = 8.0
#: … and backs off up to this.
RESUME_BACKOFF_MAX = 60.0
#: Rule 10: a holder that is missing longer than this is given up.
GRACE = 5.0
#: Rule 10: the grace while everybody is reconnecting after the bridge's own link came up …
GRACE_AFTER_LINK_UP = 35.0
#: … which lasts this long.
LINK_UP_SETTLING = 45.0
#: Rule 12: how long a bridge collects resumes before it offers a build request anew.
ROLL_CALL_WINDOW = 2.0
#: Rule 12: a held session without a running command that nobody asked for is given up after this …
ORPHAN_IDLE = 300.0
#: … and one with a running command, or of a step's own command, after this.
ORPHAN_RUNNING = 24 * 3600.0
#: A grant that was not accepted is sent again (bridge's table, GRANTED).
ACCEPT_TIMEOUT = 4.0
#: Rule 19: a claim unanswered for this long marks its master silent. Also the claim's expiration.
CLAIM_TIMEOUT = 5.0
#: Rule 15: how long a command offer's first delivery waits for its grant while the master is alive.
COMMAND_GRANT_WAIT = 1.0
#: Rule 15: margin for clocks that differ. A first delivery was published at least this long after the agent's
#: connection was opened; a younger connection may be handed old offers by a killed broker that lost their flags.
CLOCK_MARGIN = 60.0
#: Rule 17: a finished command session whose master is silent this long frees its slot.
ASIDE_AFTER = 10.0
#: Rule 19: bridges broadcast `alive` this often.
ALIVE_INTERVAL = 3.0
#: Rule 13: unstored events without progress for this long are sent again from `stored`.
EVENT_RESEND = 5.0
#: Rule 13: a bridge asks for a replay at most this often per session.
REPLAY_INTERVAL = 1.0
#: Parked offers go back to their queue after this (message TTL of `parked`).
PARKED_TTL = 10.0
#: An offer of a protocol version that an agent does not know is parked, since another agent may, and so is one of a
#: master that has no queue at this broker. What was parked this often (100 s and more) goes to `bb.dead`: nothing is
#: delivered more than 25 times, links that break included. A master offers again what still waits (`REOFFER_AFTER`).
PARKINGS_MAX = 10
#: Rule 7: a request that waits this long is offered again, and then whenever it has waited twice as long: its offer
#: may have been purged, or put into `dead` by agents of another version. A week's wait makes 10 offers.
REOFFER_AFTER = 600.0
#: Rule 4: still refused as a consumer of its claims queue after this: another master has this name.
DUPLICATE_MASTER_AFTER = 60.0
#: Rule 27: an agent tells the fleet its status this often; less often where all masters that are there say so, …
STATUS_INTERVAL = 5.0
#: … but this often (whole seconds, as in messages).
STATUS_INTERVAL_MAX = 60
#: A reader forgets an agent after so many times what the agent has said to be its interval.
STATUSES_MISSED = 3
#: Rule 27: what a master wants counts for this long after it said so: it may miss four of its `alive`.
STATUSES_WANTED_FOR = 5 * ALIVE_INTERVAL
#: Rule 10: an agent whose status is later than it had said by this much is silent. The broker takes two to three
#: heartbeats (30 s at 10 s) to notice a cut cable, so what of that the agent was silent for longer counts as grace.
STATUS_LATE = 2 * STATUS_INTERVAL
#: A bridge tells the fleet its signatures this often, at each change, and to each agent that appears.
CATALOGUE_INTERVAL = 5.0

#: Most bytes of one event's data. Below the 16 MiB message limit of RabbitMQ 4 and Buildbot's 1 MiB row.
EVENT_DATA_MAX = 256 * 1024
#: … but of a file, in a `write` event or a `data` message, so many: a file's bytes are no row of Buildbot's, and each
#: message costs every process on its way a millisecond (measured: 1 MiB instead of 256 KiB halves the CPU time a byte).
FILE_DATA_MAX = 1024 * 1024
#: Flow control: unstored bytes that a session may have under way …
WINDOW_BYTES = 2 * 1024 * 1024
#: … and unstored events, so that many small ones are bounded too.
WINDOW_EVENTS = 64
#: A bridge says `stored` at each such many bytes …
STORED_EVERY_BYTES = 1024 * 1024
#: … or this long after the first event that it has not spoken of yet.
STORED_EVERY = 0.2
#: Largest JSON of a message that either side reads; a larger one goes to `bb.dead`. So no writer writes one.
MESSAGE_MAX = 4 * 1024 * 1024
#: … of which a command with its arguments may be so much; the rest is for what else is in a start or an offer.
COMMAND_MAX = MESSAGE_MAX - 64 * 1024
#: … and so much where it travels in a header, beside bulk data. AMQP cannot divide a message's headers: a broker closes
#: the connection of who sends more than `frame_max` of them (131,072 by default in RabbitMQ, and 4,096 at least).
HEADER_MAX = 3 * 1024
#: Objects and arrays in one another, in the JSON of a message. Python's own limit depends on who calls, and what walks
#: through a deeper one raises where nobody foresees it.
JSON_DEPTH_MAX = 100
#: … and in an argument of a command, which a message holds.
ARGUMENT_DEPTH_MAX = 80
#: Longest name of a command's log file (UTF-8 bytes of JSON): it is in the headers of what that file grows by.
LOG_NAME_MAX = 2 * 1024
#: Text for people (reasons, details) is cut to so many characters, …
TEXT_MAX = 2000
#: … titles to these …
TITLE_MAX = 200
#: … and the text of a command's failure to these.
FAILURE_MAX = 64 * 1024
#: … in a claims queue, which holds what a bridge remembers of a session: who an agent is, and its environment.
CLAIM_MAX = 2 * 1024 * 1024
#: Rule 26: sessions of operators that an agent holds at once, beside its builds; the operator asks again this often, in
#: seconds, while it does not answer.
DIRECT_MAX = 4
DIRECT_AGAIN = 2.0
#: Rule 26: an operator's program that is cut off for longer, in seconds, has its commands killed: nobody else will come
#: for their end, as a master does that was restarted. An agent that is cut off has as long to come back.
DIRECT_PATIENCE = 120.0
#: Rule 20: an offer that has cost this many agents their lives goes to `dead`.
LIVES = 3

#: Seconds between two looks for a publication that the broker took and does not confirm.
CONFIRM_LOOK = 0.5
#: A publication that is not answered for this long, in seconds, is asked after: a classic queue's confirm waits for the
#: disk some 0.2 s, a busy broker's for a second or two.
CONFIRM_PATIENCE = 3.0
#: Once the broker has answered something that was asked after it, the confirm has this long. Both together, and a new
#: link, stay below the 10 s for which a cluster without its leader may hold a build up.
CONFIRM_LAST_PATIENCE = 2.0
