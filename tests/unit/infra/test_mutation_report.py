"""A change that no test noticed is told, unless it is explained; so is an explanation that is no longer needed."""

from __future__ import annotations

import pytest

from tests.mutation.survivors import EXPLAINED, change_of, explained, function_of, judge, results

TICKETS = "contracts.trust.tickets.xǁTicketsǁfor_offer__mutmut_{}"
DIFF = """\
# contracts.trust.tickets.xǁTicketsǁfor_offer__mutmut_1: survived
--- contracts/trust/tickets.py
+++ contracts/trust/tickets.py
@@ -1,3 +1,3 @@
 def for_offer(self, run: int) -> str:
-    return self._made(run)
+    return self._made(None)
"""
CHANGE = "contracts.trust.tickets.Tickets.for_offer: return self._made(run) → return self._made(None)"


def test_a_change_is_told_by_its_function_and_its_text() -> None:
    """mutmut's numbers are others after each change of the function."""
    assert change_of(TICKETS.format(1), DIFF) == CHANGE
    assert change_of(TICKETS.format(5), DIFF) == CHANGE
    assert function_of("contracts.digest.x_command_digest__mutmut_12") == "contracts.digest.command_digest"
    with pytest.raises(ValueError, match="no_name"):
        function_of("no_name")


def test_what_survived_without_an_explanation_is_new() -> None:
    statuses = results(f"    {TICKETS.format(1)}: survived\n    {TICKETS.format(2)}: killed\n")
    verdict = judge(statuses, [CHANGE], {})
    assert verdict.new == (CHANGE,)
    assert list(verdict.lines()) == ["mutants: 1 killed, 1 survived", f"no test noticed: {CHANGE}"]
    assert judge(statuses, [CHANGE], {CHANGE: "why"}).new == ()


@pytest.mark.parametrize(("other", "told"), [("killed", (CHANGE,)), ("not checked", ())])
def test_an_explanation_of_what_is_killed_is_old(other: str, told: tuple[str, ...]) -> None:
    """Once all of the function was looked at."""
    statuses = {TICKETS.format(1): "killed", TICKETS.format(2): other}
    assert judge(statuses, [], {CHANGE: "why"}).killed_since == told


def test_each_explained_change_has_a_reason() -> None:
    explained(EXPLAINED.read_text(encoding="utf-8"))
    assert explained(f"# heading\n{CHANGE}\n    because\n    of this\n") == {CHANGE: "because of this"}
    with pytest.raises(ValueError, match="no reason below"):
        explained(f"{CHANGE}\n\nother: a → b\n    because\n")
