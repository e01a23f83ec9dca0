"""Commands and files on any agent, from a script or a terminal, without Buildbot: the Python API and what is behind it.

Not here: the commands of `master-bridge` over it (`master_bridge.cli`), and how an operator connects
(`master_bridge.operating`).
"""

from master_bridge.operating.errors import OperatingError as OperatingError
from master_bridge.running.answers import AgentResult as AgentResult
from master_bridge.running.fleet import Fleet as Fleet
from master_bridge.running.orders import Secret as Secret
