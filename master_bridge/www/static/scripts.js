// The fleet's page, written by hand against what Buildbot's own page puts on `window`: React, ReactRouterDOM and
// BuildbotPluginSupport. No build step. What is shown comes from `../application.py`. React escapes every text.
(function () {
  'use strict';

  const {createElement: h, useState, useEffect, useMemo, memo} = window.React;
  const {Link, useSearchParams} = window.ReactRouterDOM;

  // Milliseconds between two questions: with the 1 s for which an answer is kept (`FRESH`), nothing shown is older than 3 s.
  const POLL = 1500;
  const SLOW_POLL = 5000;
  const CAPABILITIES_SHOWN = 8;
  // Rows that are drawn at first; then some more at a time: a browser takes half a second for a thousand.
  const ROWS_FIRST = 50;

  // label, what it does, whether it ends something and is asked for twice
  const ORDERS = {
    drain: ['Pause', 'ends what runs, takes nothing new, stays', false],
    resume: ['Resume', 'takes work again', false],
    leave: ['Drain', 'ends what runs, then leaves', false],
    stop: ['Stop', 'gives back what runs at once and leaves', true],
    restart: ['Restart', 'begins anew as a process; what runs, runs on', false],
    probe: ['Probe', 'finds out its capabilities anew', false],
  };

  // -- the server -----------------------------------------------------------------------------------------------------

  function address(path, parameters) {
    let folder = window.location.pathname;
    if (!folder.endsWith('/')) {
      folder += '/';
    }
    const query = parameters ? '?' + new URLSearchParams(parameters) : '';
    return `${window.location.origin}${folder}plugins/amqp_fleet/${path}${query}`;
  }

  async function ask(path, parameters, options) {
    const response = await fetch(address(path, parameters), {credentials: 'same-origin', ...options});
    const text = await response.text();
    let answer = null;
    try {
      answer = JSON.parse(text);
    } catch (error) {
      throw new Error(`${response.status}: ${text.slice(0, 200)}`);
    }
    if (!response.ok) {
      throw new Error(answer.error || `HTTP status ${response.status}`);
    }
    return answer;
  }

  function give(order, agents, reason) {
    return ask('orders', null, {
      method: 'POST',
      headers: {'Content-Type': 'application/json'},
      body: JSON.stringify({order, agents, reason}),
    });
  }

  // Follows the fleet while somebody looks, for all views that are shown at once.
  const fleet = {
    agents: new Map(),
    state: {loaded: false, error: null, columns: [], waiting: [], summary: {states: {}}, down: null, now: 0},
    incarnation: '',
    at: 0,
    watchers: new Set(),
    timer: null,
  };

  async function look() {
    fleet.timer = null;
    try {
      const told = await ask('fleet', {incarnation: fleet.incarnation, at: String(fleet.at)});
      if (told.whole) {
        fleet.agents = new Map();
      }
      if (told.whole || told.agents.length || told.gone.length) {
        const agents = new Map(fleet.agents);
        told.gone.forEach((id) => agents.delete(id));
        told.agents.forEach((row) => agents.set(row.id, row));
        fleet.agents = agents;
      }
      fleet.incarnation = told.incarnation;
      fleet.at = told.at;
      fleet.state = {
        loaded: true,
        error: null,
        columns: told.columns,
        waiting: told.waiting,
        summary: told.summary,
        down: told.down,
        now: told.now,
      };
    } catch (error) {
      fleet.state = {...fleet.state, error: String(error.message || error)};
    }
    fleet.watchers.forEach((watcher) => watcher());
    if (fleet.watchers.size && fleet.timer === null) {
      fleet.timer = setTimeout(look, POLL);
    }
  }

  function useFleet() {
    const [, again] = useState(0);
    useEffect(() => {
      const watcher = () => again((count) => count + 1);
      fleet.watchers.add(watcher);
      if (fleet.timer === null && fleet.watchers.size === 1) {
        look();
      }
      return () => {
        fleet.watchers.delete(watcher);
        if (!fleet.watchers.size && fleet.timer !== null) {
          clearTimeout(fleet.timer);
          fleet.timer = null;
        }
      };
    }, []);
    return {agents: fleet.agents, ...fleet.state};
  }

  // What `path` says, asked again every few seconds; [answer or null, error or null, ask now].
  function usePolled(path, parameters) {
    const [answer, setAnswer] = useState(null);
    const [error, setError] = useState(null);
    const [turn, setTurn] = useState(0);
    const key = JSON.stringify(parameters || null);
    useEffect(() => {
      let over = false;
      let timer = null;
      const once = () =>
        ask(path, parameters)
          .then((found) => !over && (setAnswer(found), setError(null)))
          .catch((problem) => !over && setError(String(problem.message || problem)))
          .finally(() => {
            if (!over) {
              timer = setTimeout(once, SLOW_POLL);
            }
          });
      once();
      return () => {
        over = true;
        clearTimeout(timer);
      };
    }, [path, key, turn]);
    return [answer, error, () => setTurn((count) => count + 1)];
  }

  // -- texts ----------------------------------------------------------------------------------------------------------

  function duration(seconds) {
    const s = Math.max(0, Math.round(seconds));
    if (s < 100) {
      return `${s} s`;
    }
    if (s < 6000) {
      return `${Math.round(s / 60)} min`;
    }
    return s < 172800 ? `${(s / 3600).toFixed(1)} h` : `${(s / 86400).toFixed(1)} d`;
  }

  function clock(seconds) {
    return new Date(seconds * 1000).toLocaleString();
  }

  function ago(seconds, now) {
    return h('span', {title: clock(seconds)}, duration(now - seconds));
  }

  // "in 5 min (3 min to 9 min)"; the span holds 8 of 10
  function expected(start, now) {
    if (!start) {
      return '';
    }
    if (start.late <= now + 5) {
      return 'now';
    }
    const [early, late] = [duration(start.early - now), duration(start.late - now)];
    const likely = h('span', {title: clock(start.likely)}, `in ${duration(start.likely - now)}`);
    return early === late ? likely : h('span', null, likely, h('span', {className: 'text-muted'}, ` (${early} to ${late})`));
  }

  function capability([name, version]) {
    return version ? `${name} ${version}` : name;
  }

  const RESULTS = ['success', 'warnings', 'failure', 'skipped', 'exception', 'retry', 'cancelled'];

  // -- parts ----------------------------------------------------------------------------------------------------------

  function State({row}) {
    return h('span', {className: `amqp-state amqp-${row.state}`}, row.state);
  }

  function requestLink(request, text) {
    const id = /^br-(\d+)/.exec(request || '');
    return id ? h(Link, {to: `/buildrequests/${id[1]}?redirect_to_build=true`}, text) : text;
  }

  function Work({slot, now}) {
    const link = slot.link || {};
    const build = link.builder && link.number ? `/builders/${link.builder}/builds/${link.number}` : null;
    const text = slot.title || 'a claim';
    return h(
      'div',
      {className: 'amqp-work'},
      build ? h(Link, {to: build}, text) : requestLink(link.request, text),
      ' for ',
      ago(slot.since, now),
      link.builder ? h(Link, {className: 'amqp-aside', to: `/builders/${link.builder}`}, 'builder') : null,
      !slot.link && slot.master ? h('span', {className: 'text-muted amqp-aside'}, `of master ${slot.master}`) : null,
    );
  }

  function Capabilities({row, asked, all}) {
    const first = row.capabilities.filter(([name]) => asked.has(name));
    const shown = all ? row.capabilities : first.slice(0, CAPABILITIES_SHOWN);
    const more = row.capabilities.length - shown.length;
    return h(
      'span',
      null,
      shown.map((each) => h('span', {key: capability(each), className: 'amqp-capability'}, capability(each))),
      more > 0 ? h('span', {className: 'text-muted'}, `${shown.length ? '+ ' : ''}${more}${shown.length ? '' : ' found'}`) : null,
    );
  }

  function Header({name, label, sort, setSort}) {
    const mark = sort.by === name ? (sort.up ? ' ▲' : ' ▼') : '';
    const turn = () => setSort({by: name, up: sort.by === name ? !sort.up : true});
    return h(
      'th',
      {'aria-sort': sort.by === name ? (sort.up ? 'ascending' : 'descending') : 'none'},
      h('button', {type: 'button', className: 'amqp-sort', onClick: turn, 'data-sort': name}, label + mark),
    );
  }

  const AgentRow = memo(function AgentRow({row, now, asked, chosen, choose, orders}) {
    return h(
      'tr',
      {'data-agent': row.name, 'data-state': row.state},
      orders
        ? h('td', null, h('input', {
            type: 'checkbox',
            checked: chosen,
            'aria-label': `choose ${row.name}`,
            onChange: () => choose(row.id),
          }))
        : null,
      h(
        'td',
        null,
        h(Link, {to: `/fleet/agent?id=${encodeURIComponent(row.id)}`}, row.name),
        row.account === row.name ? null : h('div', {className: 'text-muted amqp-small'}, row.account),
      ),
      h(
        'td',
        null,
        h(State, {row}),
        row.reasons.map((reason, index) => h('div', {key: index, className: 'amqp-small'}, reason)),
        row.heard ? h('div', {className: 'amqp-small'}, 'last heard ', ago(row.heard, now), ' ago') : null,
      ),
      h('td', null, row.slots.map((slot, index) => h(Work, {key: index, slot, now}))),
      h('td', {className: 'amqp-number'}, `${row.slots.filter((slot) => slot.state !== 'aside').length} / ${row.capacity}`),
      h('td', null, h(Capabilities, {row, asked})),
      h('td', null, row.version),
      h('td', {className: 'amqp-number'}, row.started ? ago(row.started, now) : ''),
    );
  });

  // -- orders ---------------------------------------------------------------------------------------------------------

  function OrderBar({agents, may, done}) {
    const [reason, setReason] = useState('');
    const [said, setSaid] = useState(null);
    const send = (order) => {
      const [label, , twice] = ORDERS[order];
      if (twice && !window.confirm(`${label} ${agents.length} agent(s)? What runs there is killed and runs again elsewhere.`)) {
        return;
      }
      give(order, agents, reason)
        .then((answer) => {
          const missed = agents.length - answer.told.length;
          setSaid(`${label}: told ${answer.told.length}` + (missed ? `; ${missed} not there any more` : ''));
          setReason('');
          done();
        })
        .catch((error) => setSaid(`${label}: ${error.message}`));
    };
    return h(
      'div',
      {className: 'amqp-orders'},
      h('input', {
        className: 'form-control form-control-sm',
        placeholder: 'reason (needed)',
        'aria-label': 'reason',
        value: reason,
        onChange: (event) => setReason(event.target.value),
      }),
      may.map((order) =>
        h(
          'button',
          {
            key: order,
            type: 'button',
            'data-order': order,
            className: `btn btn-sm btn-${ORDERS[order][2] ? 'danger' : 'secondary'}`,
            title: ORDERS[order][1],
            disabled: !agents.length || !reason.trim(),
            onClick: () => send(order),
          },
          ORDERS[order][0],
        ),
      ),
      said ? h('span', {className: 'amqp-said', role: 'status'}, said) : null,
    );
  }

  function OrdersTable({orders, now}) {
    return h(
      'table',
      {className: 'table table-sm'},
      h('thead', null, h('tr', null, ['when', 'who', 'order', 'agent', 'reason', 'outcome'].map((name) => h('th', {key: name}, name)))),
      h(
        'tbody',
        null,
        orders.map((entry, index) =>
          h(
            'tr',
            {key: index},
            h('td', null, ago(entry.when, now), ' ago'),
            h('td', null, entry.who),
            h('td', null, ORDERS[entry.order] ? ORDERS[entry.order][0] : entry.order),
            h('td', null, entry.name || entry.agent),
            h('td', null, entry.reason),
            h('td', null, entry.outcome),
          ),
        ),
      ),
    );
  }

  // -- tabs -----------------------------------------------------------------------------------------------------------

  const SORTS = {
    name: (row) => row.name.toLowerCase(),
    state: (row) => row.state,
    work: (row) => (row.slots.length ? row.slots[0].title : '\uffff'),
    capacity: (row) => row.capacity - row.slots.length,
    version: (row) => row.version,
    started: (row) => -row.started,
  };

  function textOf(row) {
    const parts = [row.name, row.account, row.state, row.version, ...row.reasons, ...row.serves];
    parts.push(...row.slots.map((slot) => slot.title), ...row.capabilities.map(capability));
    return parts.join('\n').toLowerCase();
  }

  // Ids of those that offer `requirement`, as the master reads it; null: all.
  function useMatch(requirement, at) {
    const [found, setFound] = useState({ids: null, error: null});
    useEffect(() => {
      if (!requirement.trim()) {
        setFound({ids: null, error: null});
        return undefined;
      }
      let over = false;
      ask('match', {requirement})
        .then((told) => !over && setFound({ids: told.agents ? new Set(told.agents) : null, error: told.error || null}))
        .catch((error) => !over && setFound({ids: null, error: error.message}));
      return () => {
        over = true;
      };
    }, [requirement, at]);
    return found;
  }

  // `wanted`: a requirement to begin with, as a link to this page names it
  function Agents({told, wanted}) {
    const [sort, setSort] = useState({by: 'name', up: true});
    const [text, setText] = useState('');
    const [requirement, setRequirement] = useState(wanted);
    const [grouped, setGrouped] = useState(false);
    const [chosen, setChosen] = useState(new Set());
    const [rights] = usePolled('orders');
    const matched = useMatch(requirement, told.agents);
    const may = rights ? rights.may : [];
    const asked = useMemo(
      () => new Set(told.columns.flatMap((column) => column.names)),
      [told.columns.map((column) => column.signature).join()],
    );
    const rows = useMemo(() => {
      const words = text.toLowerCase().split(/\s+/).filter(Boolean);
      const key = SORTS[sort.by];
      const found = [...told.agents.values()].filter((row) => {
        const all = words.length ? textOf(row) : '';
        return words.every((word) => all.includes(word)) && (!matched.ids || matched.ids.has(row.id));
      });
      found.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        return (x < y ? -1 : x > y ? 1 : a.name < b.name ? -1 : 1) * (sort.up ? 1 : -1);
      });
      return found;
    }, [told.agents, text, sort, matched.ids]);
    const choose = useMemo(
      () => (id) =>
        setChosen((before) => {
          const after = new Set(before);
          if (!after.delete(id)) {
            after.add(id);
          }
          return after;
        }),
      [],
    );
    const [drawn, setDrawn] = useState(ROWS_FIRST);
    useEffect(() => {
      const timer = drawn < rows.length ? setTimeout(() => setDrawn(4 * drawn)) : null;
      return () => clearTimeout(timer);
    }, [drawn, rows.length]);
    const there = rows.filter((row) => chosen.has(row.id)).map((row) => row.id);
    const groups = new Map();
    rows.slice(0, drawn).forEach((row) => {
      const name = grouped ? row.serves.join('   ') || 'serves no column of these masters' : '';
      if (!groups.has(name)) {
        groups.set(name, []);
      }
      groups.get(name).push(row);
    });
    const all = rows.length > 0 && there.length === rows.length;
    return h(
      'div',
      null,
      h(
        'div',
        {className: 'amqp-filters'},
        h('input', {
          className: 'form-control form-control-sm',
          placeholder: 'filter: any words',
          'aria-label': 'filter',
          value: text,
          onChange: (event) => setText(event.target.value),
        }),
        h('input', {
          className: 'form-control form-control-sm',
          placeholder: 'requirement: gtk>=3, python3',
          'aria-label': 'requirement',
          value: requirement,
          onChange: (event) => setRequirement(event.target.value),
        }),
        h(
          'label',
          null,
          h('input', {type: 'checkbox', checked: grouped, onChange: () => setGrouped(!grouped)}),
          ' group by the columns they serve',
        ),
        h('span', {className: 'text-muted', 'data-count': rows.length}, `${rows.length} of ${told.agents.size}`),
        matched.error ? h('span', {className: 'text-danger', role: 'alert'}, matched.error) : null,
      ),
      may.length ? h(OrderBar, {agents: there, may, done: () => setChosen(new Set())}) : null,
      h(
        'table',
        {className: 'table table-sm amqp-agents'},
        h(
          'thead',
          null,
          h(
            'tr',
            null,
            may.length
              ? h('th', null, h('input', {
                  type: 'checkbox',
                  checked: all,
                  'aria-label': 'choose all that are shown',
                  onChange: () => setChosen(all ? new Set() : new Set(rows.map((row) => row.id))),
                }))
              : null,
            h(Header, {name: 'name', label: 'agent', sort, setSort}),
            h(Header, {name: 'state', label: 'state', sort, setSort}),
            h(Header, {name: 'work', label: 'runs', sort, setSort}),
            h(Header, {name: 'capacity', label: 'in use', sort, setSort}),
            h('th', null, 'capabilities that columns ask for'),
            h(Header, {name: 'version', label: 'version', sort, setSort}),
            h(Header, {name: 'started', label: 'up for', sort, setSort}),
          ),
        ),
        [...groups].map(([name, members]) =>
          h(
            'tbody',
            {key: name},
            name ? h('tr', {className: 'amqp-group'}, h('th', {colSpan: 8}, `${name} (${members.length})`)) : null,
            members.map((row) =>
              h(AgentRow, {
                key: row.id,
                row,
                // only what shows a time that runs is drawn again with each answer
                now: row.slots.length || row.heard ? told.now : Math.ceil(told.now / 60) * 60,
                asked,
                chosen: chosen.has(row.id),
                choose,
                orders: may.length > 0,
              }),
            ),
          ),
        ),
      ),
    );
  }

  function table(names, rows) {
    return h(
      'table',
      {className: 'table table-sm'},
      h('thead', null, h('tr', null, names.map((name) => h('th', {key: name}, name)))),
      h('tbody', null, rows),
    );
  }

  function Columns({told}) {
    return table(
      ['requires', 'builders', 'places', 'waiting', 'oldest waits', 'agents that qualify', 'busy', 'free', ''],
      told.columns.map((column) =>
        h(
          'tr',
          {key: column.signature, 'data-column': column.signature, className: column.waiting && !column.qualified ? 'table-warning' : ''},
          h('td', null, column.signature),
          h('td', null, column.builders.map((name) => h('div', {key: name}, name)),
            column.masters.map((name) => h('div', {key: name, className: 'text-muted'}, `of master ${name}`))),
          h('td', null, column.places || ''),
          h('td', null, column.waiting),
          h('td', null, column.oldest === null ? '' : duration(column.oldest)),
          h('td', null, column.qualified + (column.unfit ? ` (+ ${column.unfit} that take no work)` : '')),
          h('td', null, column.busy),
          h('td', null, column.free),
          h('td', null, column.missing.length ? `nobody: ${column.missing.join('; ')}` : ''),
        ),
      ),
    );
  }

  function Waiting({told}) {
    if (!told.waiting.length) {
      return h('p', null, 'Nothing waits.');
    }
    return table(
      ['what', 'requires', 'waits for', 'place in line', 'expected start', 'why'],
      told.waiting.map((row, index) =>
        h(
          'tr',
          {key: index, 'data-request': row.title},
          h('td', null, requestLink(row.request, row.title),
            row.master ? h('span', {className: 'text-muted amqp-aside'}, `of master ${row.master}`) : null),
          h('td', null, row.signature),
          h('td', null, ago(row.since, told.now)),
          h('td', null, row.place),
          h('td', null, expected(row.expected, told.now)),
          h('td', null, row.reason, row.lost ? ` (lost with its agent: ${row.lost})` : ''),
        ),
      ),
    );
  }

  function Dead() {
    const [told, error] = usePolled('dead');
    const [open, setOpen] = useState(null);
    if (error) {
      return h('p', {className: 'text-danger'}, error);
    }
    if (!told) {
      return h('p', null, 'Looking …');
    }
    const reasons = new Map();
    told.messages.forEach((each) => reasons.set(each.reason, (reasons.get(each.reason) || 0) + 1));
    return h(
      'div',
      null,
      h('p', null, `${told.messages.length + told.more} messages in dead. `, [...reasons].map(([reason, count]) => `${count} of ${reason}`).join('; ')),
      table(
        ['when', 'reason', 'queue', 'from', 'type', ''],
        told.messages.map((each, index) =>
          h(
            'tr',
            {key: index},
            h('td', null, each.when ? clock(each.when) : ''),
            h('td', null, each.reason),
            h('td', null, each.queue),
            h('td', null, each.agent),
            h('td', null, each.type),
            h(
              'td',
              null,
              h('button', {type: 'button', className: 'btn btn-sm btn-light', onClick: () => setOpen(open === index ? null : index)}, 'look'),
              open === index ? h('pre', {className: 'amqp-dead'}, each.text) : null,
            ),
          ),
        ),
      ),
      h('p', {className: 'text-muted'}, 'To drop them or send them again: master-bridge dead.'),
    );
  }

  function Orders({told}) {
    const [answer, error] = usePolled('orders');
    if (error) {
      return h('p', {className: 'text-danger'}, error);
    }
    return answer ? h(OrdersTable, {orders: answer.orders, now: told.now}) : h('p', null, 'Looking …');
  }

  function Summary({told}) {
    const states = Object.entries(told.summary.states);
    const parts = [
      ['agents', told.summary.agents],
      ...states.map(([state, count]) => [state, count]),
      ['slots busy', told.summary.busy],
      ['slots free', told.summary.free],
      ['waiting', told.summary.waiting],
    ];
    return h(
      'div',
      {className: 'amqp-summary'},
      parts.map(([name, count]) =>
        h('div', {key: name, 'data-summary': name}, h('b', null, count === undefined ? '' : count), ' ', name),
      ),
    );
  }

  const TABS = {agents: ['Agents', Agents], columns: ['Columns and queues', Columns], waiting: ['Waiting', Waiting],
    dead: ['Dead letters', Dead], orders: ['Orders', Orders]};

  function Troubles({told}) {
    return h(
      'div',
      null,
      told.error ? h('div', {className: 'alert alert-danger'}, `This page is not up to date: ${told.error}`) : null,
      told.down ? h('div', {className: 'alert alert-warning'}, `The broker is out of reach: ${told.down}`) : null,
    );
  }

  function FleetView() {
    const told = useFleet();
    const [search, setSearch] = useSearchParams();
    const tab = TABS[search.get('tab')] ? search.get('tab') : 'agents';
    const wanted = search.get('requirement') || '';
    return h(
      'div',
      {className: 'container-fluid amqp-fleet'},
      h(Troubles, {told}),
      told.loaded
        ? [
            h(Summary, {key: 'summary', told}),
            h(
              'ul',
              {key: 'tabs', className: 'nav nav-tabs'},
              Object.entries(TABS).map(([name, [label]]) =>
                h('li', {key: name, className: 'nav-item'},
                  h('button', {type: 'button', 'data-tab': name, className: `nav-link ${name === tab ? 'active' : ''}`, onClick: () => setSearch({tab: name})}, label)),
              ),
            ),
            h(TABS[tab][1], {key: `${tab} ${wanted}`, told, wanted}),
          ]
        : h('p', null, 'Looking at the fleet …'),
    );
  }

  // -- one agent ------------------------------------------------------------------------------------------------------

  function Day({day}) {
    const [width, height] = [960, 36];
    const x = (when) => Math.max(0, ((when - day.from) / (day.to - day.from)) * width);
    const hours = [];
    for (let when = Math.ceil(day.from / 10800) * 10800; when < day.to; when += 10800) {
      hours.push(when);
    }
    const total = day.busy.reduce((sum, [from, to]) => sum + ((to === null ? day.to : to) - Math.max(from, day.from)), 0);
    return h(
      'figure',
      {className: 'amqp-day'},
      h(
        'svg',
        {viewBox: `0 0 ${width} ${height + 16}`, role: 'img', 'aria-label': 'when it had a build, last 24 hours'},
        h('rect', {x: 0, y: 0, width, height, className: 'amqp-day-idle'}),
        day.busy.map(([from, to], index) =>
          h('rect', {key: index, x: x(from), y: 0, height, width: Math.max(1, x(to === null ? day.to : to) - x(from)), className: 'amqp-day-busy'}),
        ),
        hours.map((when) =>
          h('text', {key: when, x: x(when), y: height + 13, fontSize: 11}, new Date(when * 1000).toTimeString().slice(0, 5)),
        ),
      ),
      h('figcaption', {className: 'text-muted'}, `builds of this master's database in the last 24 hours: ${duration(total)}`),
    );
  }

  function AgentView() {
    const told = useFleet();
    const [search] = useSearchParams();
    const id = search.get('id') || '';
    const row = told.agents.get(id);
    const [more, error] = usePolled('agent', {id});
    const [rights] = usePolled('orders');
    if (!row) {
      return h('div', {className: 'container-fluid amqp-fleet'}, h(Troubles, {told}),
        h('p', null, told.loaded ? 'No agent of this id was heard: it has left, or was silent for a day.' : 'Looking …'),
        h(Link, {to: '/fleet'}, 'all agents'));
    }
    const may = rights ? rights.may : [];
    return h(
      'div',
      {className: 'container-fluid amqp-fleet'},
      h(Troubles, {told}),
      h(Link, {to: '/fleet'}, '← all agents'),
      h('h2', null, row.name, ' ', h(State, {row})),
      h('p', {className: 'text-muted'}, `account ${row.account}, version ${row.version}, capacity ${row.capacity}`,
        row.started ? h('span', null, ', up for ', ago(row.started, told.now)) : null,
        ', in this state for ', ago(row.since, told.now)),
      row.reasons.map((reason, index) => h('p', {key: index}, reason)),
      row.slots.map((slot, index) => h(Work, {key: index, slot, now: told.now})),
      may.length ? h(OrderBar, {agents: [row.id], may, done: () => undefined}) : null,
      error ? h('p', {className: 'text-danger'}, error) : null,
      more
        ? [
            h(Day, {key: 'day', day: more.day}),
            h('h4', {key: 'b'}, 'Last builds'),
            h('div', {key: 'builds', 'data-part': 'builds'}, table(
              ['build', 'began', 'took', 'result'],
              more.builds.map((build) =>
                h(
                  'tr',
                  {key: build.build},
                  h('td', null, h(Link, {to: `/builders/${build.builderid}/builds/${build.number}`}, `${build.builder} #${build.number}`)),
                  h('td', null, clock(build.started)),
                  h('td', null, duration((build.complete === null ? told.now : build.complete) - build.started)),
                  h('td', null, build.results === null ? 'runs' : RESULTS[build.results]),
                ),
              ),
            )),
            h('h4', {key: 's'}, 'States'),
            h('div', {key: 'states', 'data-part': 'states'}, table(
              ['since', 'state', 'reasons'],
              [...more.changes].reverse().map((change, index) =>
                h('tr', {key: index}, h('td', null, clock(change.when)), h('td', null, change.state), h('td', null, change.reasons.join('; '))),
              ),
            )),
            h('h4', {key: 'o'}, 'Orders'),
            h(OrdersTable, {key: 'orders', orders: more.orders, now: told.now}),
            h('h4', {key: 'c'}, 'Capabilities'),
            h('div', {key: 'capabilities', 'data-part': 'capabilities'}, table(
              ['name', 'version', 'how it was found'],
              row.capabilities.map((each) =>
                h('tr', {key: capability(each)}, h('td', null, each[0]), h('td', null, each[1]), h('td', null, more.found[each[0]] || '')),
              ),
            )),
          ]
        : null,
    );
  }

  // -- Buildbot's page ------------------------------------------------------------------------------------------------

  const icon = h(
    'svg',
    {viewBox: '0 0 16 16', width: '1em', height: '1em', fill: 'currentColor', 'aria-hidden': true},
    h('path', {d: 'M1 2h14v5H1zM1 9h14v5H1zM3 4v1h2V4zM3 11v1h2v-1z', fillRule: 'evenodd'}),
  );

  window.BuildbotPluginSupport.buildbotSetupPlugin((registry) => {
    registry.registerMenuGroup({name: 'amqp_fleet', parentName: null, caption: 'Fleet', icon, order: 9, route: '/fleet'});
    registry.registerRoute({route: '/fleet', group: 'amqp_fleet', element: () => h(FleetView)});
    registry.registerRoute({route: '/fleet/agent', group: 'amqp_fleet', element: () => h(AgentView)});
  });
})();
