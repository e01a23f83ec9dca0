"""What of commands on agents needs no agent.

Not here: the agent's part (tests/unit/agent_core/test_direct_offers.py).
"""
