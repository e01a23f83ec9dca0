#!/usr/bin/env node
// A Buildbot worker over RabbitMQ: consumes cap.* queues, one offer at a time, and serves the session that follows.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { COMMANDS } from './commands.js';
import { Link, queueOf } from './link.js';
import { Pace, STATUS_LOOK } from './pace.js';
import { Session } from './session.js';

const { values: options } = parseArgs({ options: {
  'amqp-url': { type: 'string', default: process.env.AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672/' },
  signature: { type: 'string', multiple: true, default: ['node'] },
  capability: { type: 'string', multiple: true, default: [`node=${process.versions.node}`] },
  name: { type: 'string', default: os.hostname() },
  basedir: { type: 'string', default: path.join(os.homedir(), 'worker-node') },
} });
const log = (event, fields = {}) => console.log(JSON.stringify({ time: new Date().toISOString(), event, ...fields }));
// Throws on an offer that lacks something.
function complete(offer) {
  for (const field of ['offer', 'request', 'master', 'user', 'ticket', 'builddir']) {
    if (typeof offer[field] !== 'string') throw new Error(`not an offer: ${field} is ${typeof offer[field]}`);
  }
}

class Worker {
  constructor() {
    this.basedir = path.resolve(options.basedir);
    this.state = path.join(this.basedir, '.state');
    fs.mkdirSync(this.state, { recursive: true });
    Object.assign(this, { name: options.name, epoch: 0, session: null, draining: false });
    this.operators = new Map(); // 1 … 4 -> session: what operators tell it to do, beside its builds (rule 26)
    this.pace = new Pace();
    this.silent = new Set(); // masters that did not answer a claim (rule 19)
    this.left = fs.readdirSync(this.state).filter((name) => name.startsWith('held,')); // sessions of a process that was killed
    this.masters = new Map(); // incarnation -> master, to answer those who ask for a session that is over
    this.capabilities = options.capability.map((text) => text.split('=')).map(([name, version = null]) => ({ name, version }));
    this.capabilities.push({ name: 'sealing', version: '1' }); // what columns with seal=True require
    this.link = new Link(options['amqp-url'], options.signature.map(queueOf), log, this);
  }
  info(basedir) {
    const worker_commands = Object.fromEntries(Object.keys(COMMANDS).map((name) => [name, '3.3']));
    const [numcpus, host] = [os.availableParallelism(), `${os.hostname()}, Node.js ${process.versions.node}`];
    return { version: '4.3.0', system: 'posix', basedir, numcpus, environ: {}, worker_commands, host };
  }
  gone(session, master, reason, detail = '', request = 'unknown') {
    this.link.reply(master, 'claims', { t: 'gone', session, request, master, epoch: this.epoch, address: this.link.address, reason, detail });
  }
  linked() {
    this.epoch = Math.max(this.epoch + 1, Math.floor(Date.now() / 1000)); // grows, also over a restart
    for (const name of this.left.splice(0)) {
      const [, id, master, request] = name.split(',').map(decodeURIComponent);
      this.gone(id, master, 'lost', 'the worker was killed', request);
      fs.rmSync(path.join(this.state, name));
    }
    for (const session of this.sessions) session.resume();
    this.consume();
    this.status();
  }
  unlinked() { for (const session of this.sessions) session.unlinked(); }
  get sessions() { return [this.session, ...this.operators.values()].filter((session) => session); }
  // Told to the fleet as often as masters want it, and to whoever asks.
  status(state = this.draining ? 'draining' : 'ready') {
    const slot = ({ id, offer, state, since, slot }) => ({
      state: state === 'HELD' ? 'held' : 'claiming', session: id, master: offer.master, title: offer.title, since, ...(slot && { direct: true }),
    });
    const slots = [...(this.session ? [] : [{ state: 'idle' }]), ...this.sessions.map(slot)];
    const { name: agent, epoch, capabilities, link } = this;
    const who = { instance: link.instance, agent, epoch, address: link.address, version: 'node' };
    link.status({ t: 'status', ...who, now: Date.now() / 1000, state, slots, capabilities, queues: link.queues, direct: true, every: this.pace.every() });
  }
  consume() { if (!this.session && !this.draining && this.link.up) this.link.consume(); }
  offered(offer, delivery, queue) {
    complete(offer);
    if (offer.direct) throw new Error('an operator tells an offer to its agent (rule 26)');
    const same = this.session?.offer.request === offer.request; // rule 8
    if (same || this.silent.has(offer.master)) return this.link.settle(delivery, 'park');
    if (this.session || this.draining) return this.link.settle(delivery, 'giveBack'); // it slipped in before the cancel
    this.link.cancel(queue);
    this.session = new Session(this, offer, delivery); // claims it
    log('claim', { request: offer.request, session: this.session.id });
  }
  // Rule 26: claimed beside whatever runs; where that cannot be nothing is said, and the operator asks again.
  told(offer, user) {
    complete(offer);
    if (offer.user !== user || !offer.direct || offer.kind !== 'build' || typeof offer.fencing !== 'number') throw new Error("not an operator's offer");
    const slot = [1, 2, 3, 4].find((number) => !this.operators.has(number));
    const same = this.sessions.some(({ offer: { offer: id, user: whose } }) => id === offer.offer && whose === user);
    if (!slot || same || this.draining) return;
    this.operators.set(slot, new Session(this, offer, null, slot));
  }
  received(message, user) {
    const { t, session, incarnation } = message;
    if (t === 'offer') return this.told(message, user);
    const own = session && this.sessions.find(({ id }) => id === session);
    if (own && own.offer.user !== user) throw new Error(`user ${user} spoke of a session that is user ${own.offer.user}'s`); // rule 22
    if (message.master && incarnation) this.masters.set(incarnation, message.master);
    if (this.masters.size > 100) this.masters.delete(this.masters.keys().next().value);
    const master = message.master ?? this.masters.get(incarnation);
    this.silent.delete(master);
    if (t === 'alive') this.pace.wanted(message.status_every);
    if (t === 'rollcall') {
      this.pace.hurry();
      for (const held of this.sessions) if (held.offer.master === master && held.offer.user === user && held.state === 'HELD') held.resume();
    }
    if (own) own.handle(message);
    else if (session && master) this.gone(session, master, 'unknown');
  }
  ended(session, how) {
    log('session over', { request: session.offer.request, session: session.id, offer: how });
    if (session.delivery !== null && how !== 'forget') this.link.settle(session.delivery, how);
    if (session.slot) this.operators.delete(session.slot);
    else this.session = null;
    if (!this.draining) this.consume();
    else if (!this.sessions.length) this.exit();
  }
  // SIGTERM: finish what is held, take nothing new. A second one: give up what is held.
  drain() {
    const again = this.draining;
    this.draining = true;
    this.link.cancel();
    if (!this.sessions.length) return this.exit();
    for (const session of this.sessions) {
      if (session.state === 'CLAIMING') session.end('giveBack');
      else if (again) session.fail('killed', 'the worker was stopped');
    }
  }
  exit() { this.status('leaving'); this.link.close().then(() => process.exit(0)); }
}

const worker = new Worker();
setInterval(() => worker.sessions.forEach((session) => session.tick()), 250);
setInterval(() => worker.pace.look() && worker.status(), STATUS_LOOK);
for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => worker.drain());
worker.link.run();
