"""The live view of `master-bridge fleet`: lines that scroll, with keys to sort, filter and leave.

A thread hears the fleet and makes a picture every few seconds; the terminal's own thread (Textual) shows the latest,
and only those lines that fit. A broker that goes away is looked for again, while what was heard last stays.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import click
from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Footer, Input, Static

from contracts.readable import shown
from master_bridge.cli.looking import REFRESH, SORTS, queues_of, requirements_of
from master_bridge.cli.options import Where
from master_bridge.fleet.agents import Row
from master_bridge.fleet.lines import STYLES, Choice, capabilities, state
from master_bridge.operating.picture import AgentLine, Picture, agent_lines, column_lines, head, queue_lines
from master_bridge.operating.survey import Survey

#: Seconds between two tries to reach a broker that went away.
AGAIN = 3.0
#: Lines of what comes first, and of the agent under the cursor.
HEAD_LINES, DETAIL_LINES = 4, 3
_TITLES, _CURSOR, _PLAIN = Style(bold=True), Style(reverse=True), Style()


class LineView(ScrollView, can_focus=True):
    """Lines below a line of titles that stays; one of them is under the cursor. Only what is seen is drawn."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown,space", "page(1)", "page down", show=False),
        Binding("home", "move(-1000000)", "first", show=False),
        Binding("end", "move(1000000)", "last", show=False),
    ]
    cursor: reactive[int] = reactive(0)

    def __init__(self) -> None:
        super().__init__()
        self._titles = ""
        self.lines: Sequence[AgentLine] = ()

    def show(self, titles: str, lines: Sequence[AgentLine]) -> None:
        self._titles, self.lines = titles, lines
        self.virtual_size = Size(self.size.width, len(lines) + 1)
        self.cursor = max(0, min(self.cursor, len(lines) - 1))
        self.refresh()

    @property
    def row(self) -> Row | None:
        """Of the agent under the cursor."""
        return self.lines[self.cursor].row if self.cursor < len(self.lines) else None

    def action_move(self, by: int) -> None:
        self.cursor = max(0, min(self.cursor + by, len(self.lines) - 1))

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self.size.height - 2))

    def watch_cursor(self) -> None:
        # the first line is covered by the titles: what is under the cursor stands below them
        self.scroll_to_region(Region(0, self.cursor, 1, 2), animate=False, force=True)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        if y == 0:
            return Strip([Segment(self._titles, _TITLES)]).adjust_cell_length(self.size.width)
        number = y - 1 + round(self.scroll_offset.y)
        if number >= len(self.lines):
            return Strip.blank(self.size.width)
        each = self.lines[number]
        base = _CURSOR if number == self.cursor else _PLAIN if each.row is not None else _TITLES
        segments = []
        for place, cell in enumerate(each.cells):
            style = STYLES.get(each.row["state"], "") if each.row is not None and place == 1 else ""
            segments += [Segment("  " if place else "", base), Segment(cell, base + Style.parse(style))]
        return Strip(segments).adjust_cell_length(self.size.width, base)


class LiveView(App[None]):
    """Shows pictures until somebody leaves. `failure`: why there never was one."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: auto; max-height: 4; }
    #detail { height: 3; }
    #words, #match { display: none; height: 1; border: none; padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", "quit", key_display="q"),
        Binding("s", "sort", "sort"),
        Binding("r", "reverse", "reverse"),
        Binding("slash", "ask('words')", "filter", key_display="/", priority=True),
        Binding("m", "ask('match')", "match", priority=True),
        Binding("g", "group", "group"),
        Binding("a", "everything", "all"),
        Binding("c", "turn", "columns"),
        Binding("escape", "leave_input", "back", show=False),
    ]

    def __init__(self, where: Where, choice: Choice, *, queues: bool) -> None:
        super().__init__(ansi_color=True)
        self.failure: click.ClickException | None = None
        self._where, self._choice, self._queues = where, choice, queues
        self._picture: Picture | None = None
        self._trouble = ""
        self._columns = False
        self._over = threading.Event()

    def compose(self) -> ComposeResult:
        yield Static("listening …", id="head", markup=False)
        yield LineView()
        yield Static("", id="detail", markup=False)
        yield Input(self._choice.text, id="words", placeholder="words that an agent's line must have")
        yield Input(id="match", placeholder="requirements, as gtk>=3, python3")
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(LineView).focus()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.exit)
        self.run_worker(self._hear, thread=True)  # what it does not expect ends the view, with a traceback

    def on_unmount(self) -> None:
        self._over.set()

    # -- the thread that hears ------------------------------------------------------------------------------------

    def _hear(self) -> None:
        heard = False
        while not self._over.is_set():
            try:
                with self._where.broker("fleet") as broker:
                    survey = Survey(broker).open().gather(masters=True)
                    heard = True
                    while not self._over.is_set():
                        figures = queues_of(self._where, broker, survey) if self._queues and self._columns else []
                        self._tell(Picture.of(survey, figures, now=time.time()), "")
                        survey.listen(REFRESH, self._over.is_set)
            except click.ClickException as error:
                if not heard:
                    self.failure = error
                    self.call_from_thread(self.exit)
                    return
                self._tell(None, error.format_message())
                self._over.wait(AGAIN)

    def _tell(self, picture: Picture | None, trouble: str) -> None:
        if not self._over.is_set():
            self.call_from_thread(self.take, picture, trouble)

    # -- the terminal's thread ------------------------------------------------------------------------------------

    def take(self, picture: Picture | None, trouble: str) -> None:
        """A new picture, or None: what is wrong."""
        self._picture, self._trouble = picture or self._picture, trouble
        self.draw()

    def draw(self) -> None:
        """All of it anew, as wide as the terminal is now."""
        if self._picture is None:
            return
        view, width = self.query_one(LineView), max(1, self.size.width - 2)  # beside the scroll bar
        if self._columns:
            titles, *rest = column_lines(self._picture, width)
            rest += ["", *queue_lines(self._picture.queues, width)] if self._picture.queues else []
            lines = [AgentLine(cells=(text,)) for text in rest]
        else:
            titles, lines = agent_lines(self._picture, self._choice, width)
        view.show(titles, lines)
        first = head(self._picture, self._choice, sum(each.row is not None for each in lines))
        order = f"by {self._choice.sort}{', reversed' if self._choice.reverse else ''}"
        first[0] = f"{first[0]}  ({order})"
        trouble = [f"since {age:.0f} s: {self._trouble}"] if self._trouble and (age := self._age()) else []
        self.query_one("#head", Static).update("\n".join([*trouble, *first][:HEAD_LINES]))
        self._draw_detail()

    def _age(self) -> float:
        return max(1.0, time.time() - self._picture.now) if self._picture else 1.0

    def _draw_detail(self) -> None:
        """What the line under the cursor has no room for."""
        row = self.query_one(LineView).row
        lines: list[str] = []
        if row is not None and self._picture is not None:
            asked = None if self._choice.all_capabilities else self._picture.asked
            runs = ", ".join(f"{slot['title'] or 'a claim'} ({slot['master']})" for slot in row["slots"])
            lines = [f"{row['name']} ({row['id']}): {state(row, self._picture.now)}", runs, capabilities(row, asked)]
        self.query_one("#detail", Static).update("\n".join(line for line in lines if line))

    def on_resize(self) -> None:
        self.draw()

    def action_move_done(self) -> None:
        self._draw_detail()

    def action_sort(self) -> None:
        self._choose(sort=SORTS[(SORTS.index(self._choice.sort) + 1) % len(SORTS)])

    def action_reverse(self) -> None:
        self._choose(reverse=not self._choice.reverse)

    def action_group(self) -> None:
        self._choose(grouped=not self._choice.grouped)

    def action_everything(self) -> None:
        self._choose(all_capabilities=not self._choice.all_capabilities)

    def action_turn(self) -> None:
        self._columns = not self._columns
        self.query_one(LineView).cursor = 0
        self.draw()

    def _choose(self, **changes: object) -> None:
        self._choice = replace(self._choice, **changes)  # type: ignore[arg-type]  # its own fields
        self.draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that open a field are letters within one; they have priority, so that what is typed next is in it."""
        return not (action == "ask" and isinstance(self.focused, Input))

    def action_ask(self, which: str) -> None:
        field = self.query_one(f"#{which}", Input)
        field.display = True
        self.screen.set_focus(field)  # at once, not after the next refresh

    def action_leave_input(self) -> None:
        for field in self.query(Input):
            field.display = False
        self.query_one(LineView).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id == "words":
            self._choose(text=event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "match":
            try:
                self._choose(requirements=requirements_of((event.value,)))
            except click.UsageError as error:
                self.notify(shown(error.format_message()), severity="error", markup=False)
                return
        self.action_leave_input()


def watch_fleet(where: Where, choice: Choice, *, queues: bool) -> None:
    """Until somebody leaves. Raises a `click.ClickException` when the broker cannot be reached at first."""
    app = LiveView(where, choice, queues=queues)
    app.run()
    if app.failure is not None:
        raise app.failure
