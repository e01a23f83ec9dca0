// One offer's stay on this worker, from claim to release. Rules are those of docs/protocol.md.
import fs from 'node:fs';
import path from 'node:path';
import { randomUUID } from 'node:crypto';
import { COMMANDS } from './commands.js';
import { Journal } from './journal.js';
import { newKeys, Seal, SEALED } from './seal.js';

const [WINDOW_BYTES, WINDOW_EVENTS] = [2 * 1024 * 1024, 64]; // published and not stored: at most so much
const SPOOL_BYTES = 64 * 1024 * 1024; // journalled and not stored: more than this, and commands wait at their pipes
const [CLAIM_TIMEOUT, RESEND] = [5, 5]; // seconds until a claim is given up; until events and pulls are sent again
const [SILENCE, SILENCE_MAX] = [8, 60]; // a bridge that is not heard for so long is resumed at, backing off up to …
const OPERATORS = '.operators'; // no master has this folder

const now = () => performance.now() / 1000;

export class Session {
  // slot: 0 is a build's; the others are operators', whose offers come from no queue and so have no delivery (rule 26).
  constructor(worker, offer, delivery, slot = 0) {
    Object.assign(this, { worker, offer, delivery, slot, id: randomUUID(), state: 'CLAIMING', since: Date.now() / 1000 });
    Object.assign(this, { begun: now(), heard: now(), patience: SILENCE });
    this.note = path.join(worker.state, ['held', this.id, offer.master, offer.request].map(encodeURIComponent).join(','));
    this.dir = path.join(worker.basedir, slot ? OPERATORS : offer.master, `slot-${slot}`, offer.builddir);
    this.commands = new Map(); // n -> { digest, completed, interrupted, interrupt }
    this.early = new Map(); // n -> reason: interrupts of commands that were not started yet (rule 14)
    this.pulls = new Map(); // n -> { offset, length, done, failed, asked }
    this.followed = new Set(); // the gate: commands that the granting incarnation has started
    this.turn = Promise.resolve(); // commands of a command offer run one after the other
    this.stored = this.sent = 0; // events up to here are stored, published
    this.unstored = this.flying = 0; // bytes journalled beyond `stored`, bytes of those that are published
    this.waiting = []; // who waits for room in the spool
    this.keys = offer.seal ? newKeys() : undefined; // rule 24; never written down
    this.introduce('claim', {}, { expiration: CLAIM_TIMEOUT * 1000 });
  }

  // ---- what is said
  tell(place, message, data, properties) {
    const told = { session: this.id, ...message };
    const [said, bytes] = this.keys && place === 'events' ? this.seal.close({ v: 1, ...told }, data) : [told, data];
    this.worker.link.reply(this.offer.master, place, said, bytes, properties);
  }
  introduce(t, more, properties) {
    const { offer, request, master, run, kind } = this.offer;
    const { name, epoch, capabilities, link } = this.worker;
    const who = { offer, request, master, run: this.run ?? run, kind, instance: link.instance, agent: name, epoch, address: link.address, ticket: this.ticket ?? this.offer.ticket };
    this.tell('claims', { t, ...who, capabilities, worker: this.worker.info(path.dirname(this.dir)), key: this.keys?.public, ...more }, undefined, properties);
  }
  resume() {
    this.resumed = now();
    this.introduce('resume', { commands: [...this.commands].map(([n, { digest, completed }]) => ({ n, digest: this.keys ? 'sealed' : digest, completed })) });
  }
  fail(reason, detail) { this.worker.gone(this.id, this.offer.master, reason, detail, this.offer.request); this.end('giveBack'); }

  // ---- what is heard: every message of the control queue that names this session
  handle(message) {
    if (message.t === 'sealed') return this.obey(this.open(message));
    if (!this.keys || !SEALED.includes(message.t)) this.obey(message); // else it should have been sealed
  }
  open(message) {
    try {
      if (!this.seal) throw new Error('sealed, and nothing was agreed on');
      return this.seal.open(message);
    } catch (error) {
      if (this.state === 'HELD' && now() - (this.resumed ?? 0) > 1) this.resume(); // after a grant it is said again
      throw error; // to bb.dead, with the reason
    }
  }
  obey(message) {
    const { t, incarnation } = message;
    if (t !== 'grant' && t !== 'release' && incarnation !== undefined && incarnation !== this.incarnation) return; // rule 3
    Object.assign(this, { heard: now(), patience: SILENCE });
    if (t === 'grant') this.granted(message);
    else if (this.state === 'CLAIMING') {
      if (t === 'refuse' && message.re === 'claim') this.end('ack'); // rule 8
      else if (t === 'later') this.end('park');
    } else if (t === 'refuse') message.re === 'claim' ? this.resume() : this.end('giveBack'); // rules 6, 8
    else if (t === 'start') this.start(message.command);
    else if (t === 'interrupt') this.interrupt(message.n, message.reason);
    else if (t === 'stored' || t === 'ping') this.advance(message.stored);
    else if (t === 'replay') this.rewind(message.stored);
    else if (t === 'data') this.fed(message);
    else if (t === 'release') this.end('ack');
  }
  granted({ incarnation, run, stored, ticket, seal }) {
    this.ticket = ticket; // rule 21: shown from now on
    if (this.keys && !seal) return this.fail('refused', 'granted without the seal that its offer asks for');
    if (this.keys && this.seal?.key !== seal.key) {
      const { master, request } = this.offer;
      this.seal = new Seal(this.keys, seal.key, [master, incarnation, request, seal.signature, run, this.id, this.worker.link.address]);
    }
    if (this.state === 'CLAIMING') {
      fs.mkdirSync(this.dir, { recursive: true });
      this.journal = new Journal(path.join(this.worker.state, `${this.id}.journal`));
      fs.writeFileSync(this.note, ''); // by its name the next start can say that the session is gone
      this.state = 'HELD';
    }
    if (incarnation !== this.incarnation) this.followed.clear();
    Object.assign(this, { incarnation, run });
    if (!this.rewind(stored)) return;
    this.introduce('accept', { incarnation });
    for (const pull of this.pulls.values()) pull.asked = 0;
  }
  start({ n, name, args, digest }) {
    const known = this.commands.get(n);
    if (known && known.digest !== digest) return this.fail('diverged', `command ${n} is another one now`);
    this.followed.add(n);
    if (known) return this.publish();
    const command = { digest, completed: false, interrupted: null, interrupt: () => {} };
    this.commands.set(n, command);
    const execute = () => this.execute(n, command, name, args);
    this.offer.kind === 'command' ? (this.turn = this.turn.then(execute)) : execute();
  }
  async execute(n, command, name, args) {
    if (this.state !== 'HELD') return;
    command.interrupted ??= this.early.get(n) ?? null;
    this.emit({ n, kind: 'started', value: { name, digest: command.digest } });
    let failure;
    const context = {
      dir: this.dir,
      emit: (event) => this.emit({ n, ...event }),
      interrupted: () => command.interrupted !== null || this.state === 'OVER',
      onInterrupt: (stop) => (command.interrupt = stop),
      pull: (offset, length) => this.pull(n, offset, length),
      room: () => this.room(),
    };
    if (context.interrupted()) this.emit({ n, kind: 'update', value: ['rc', -1] });
    else if (!COMMANDS[name]) failure = `unrecognized WorkerCommand '${name}'`;
    else failure = await COMMANDS[name](args, context).catch((error) => String(error.stack ?? error));
    command.completed = true;
    this.emit({ n, kind: 'completed', value: failure ?? null, interrupted: command.interrupted });
  }
  interrupt(n, reason) {
    const command = this.commands.get(n);
    if (!command) return void this.early.set(n, reason);
    if (command.completed || command.interrupted !== null) return;
    command.interrupted = reason;
    this.pulls.get(n)?.failed(new Error('interrupted'));
    command.interrupt();
  }

  // ---- events: journalled first, then published inside the window
  emit(event) {
    if (this.state !== 'HELD') return;
    this.unstored += event.data?.length ?? 0;
    this.journal.append(event);
    this.publish();
  }
  publish() {
    if (!this.worker.link.up || this.state !== 'HELD') return;
    while (this.sent < this.journal.events.length && this.sent - this.stored < WINDOW_EVENTS) {
      const { size } = this.journal.events[this.sent];
      if (this.flying > 0 && this.flying + size > WINDOW_BYTES) return;
      const { event, data } = this.journal.read(this.sent + 1);
      if (!this.followed.has(event.n)) return; // the gate: its start has not come from this incarnation
      this.sent = event.seq;
      this.flying += size;
      this.progress = now();
      this.tell('events', { t: 'event', ...event }, data);
    }
  }
  bytes(from, to) { return this.journal.events.slice(from, to).reduce((sum, { size }) => sum + size, 0); }

  // The bridge has stored events up to `stored`.
  advance(stored) {
    if (stored > this.journal.events.length) return this.fail('lost', `the bridge has stored event ${stored}, which is not in the journal`);
    if (stored <= this.stored) return;
    this.unstored -= this.bytes(this.stored, stored);
    this.stored = stored;
    this.sent = Math.max(this.sent, stored);
    this.flying = this.bytes(stored, this.sent);
    this.progress = now();
    if (this.unstored <= SPOOL_BYTES) this.waiting.splice(0).forEach((go) => go());
    this.publish();
  }
  // The bridge wants all events after `stored` again. False: the session is over, the journal has not so many.
  rewind(stored) {
    if (stored > this.journal.events.length) return void this.advance(stored);
    Object.assign(this, { stored, sent: stored, flying: 0, unstored: this.bytes(stored) });
    this.publish();
    return true;
  }
  // Undefined, or a promise of room in the spool.
  room() { if (this.unstored > SPOOL_BYTES && this.state === 'HELD') return new Promise((go) => this.waiting.push(go)); }

  // ---- downloads: a range is asked for until it comes
  pull(n, offset, length) {
    return new Promise((done, failed) => {
      this.pulls.set(n, { offset, length, done, failed, asked: 0 });
      this.tick();
    }).finally(() => this.pulls.delete(n));
  }
  fed({ n, offset, size, data }) { if (this.pulls.get(n)?.offset === offset) this.pulls.get(n).done({ size, data }); }

  // ---- time: called four times a second
  tick() {
    const time = now();
    if (this.state === 'CLAIMING' && time - this.begun > CLAIM_TIMEOUT) {
      if (!this.slot) this.worker.silent.add(this.offer.master);
      return this.end('park');
    }
    if (this.state !== 'HELD') return;
    const running = this.slot > 0 || [...this.commands.values()].some(({ completed }) => !completed);
    if (running && time - this.heard > (this.offer.fencing ?? Infinity)) return this.fail('killed', 'no contact: strict fencing');
    if (!this.worker.link.up) return;
    for (const [n, pull] of this.pulls) {
      if (time - pull.asked < RESEND) continue;
      pull.asked = time;
      this.tell('events', { t: 'pull', n, offset: pull.offset, length: pull.length });
    }
    if (this.sent > this.stored && time - this.progress > RESEND && this.heard > this.progress) this.rewind(this.stored);
    if (time - Math.max(this.heard, this.resumed ?? 0) > this.patience) {
      this.patience = Math.min(this.patience * 2, SILENCE_MAX);
      this.resume();
    }
  }
  unlinked() {
    this.delivery = null; // the broker has the offer back
    if (this.state === 'CLAIMING') this.end('forget'); // what is held goes on
  }
  // `how` says what becomes of the offer: ack, park, giveBack, forget.
  end(how) {
    if (this.state === 'OVER') return;
    for (const command of this.commands.values()) if (!command.completed) command.interrupt();
    this.state = 'OVER';
    fs.rmSync(this.note, { force: true });
    for (const pull of this.pulls.values()) pull.failed(new Error('the session is over'));
    this.waiting.splice(0).forEach((go) => go());
    this.journal?.close();
    this.worker.ended(this, how);
  }
}
