// The broker: one connection, a channel that publishes, one for the control queue, one for offers.
import amqp from 'amqplib';
import { randomBytes, randomUUID } from 'node:crypto';

const KEPT = ['bb', 'bb-key', 'bb-stamp', 'bb-signature']; // all that goes to bb.dead of a message's headers
const HEADER = 'bb'; // the JSON of a message whose body is bulk data
const EXCHANGES = { 'bb.offers': 'direct', 'bb.control': 'topic', 'bb.replies': 'topic', 'bb.parked': 'fanout', 'bb.fleet': 'topic', 'bb.dead': 'fanout' };
// Milliseconds between two looks for a queue that is not there: each is an error in the broker's log.
const [FIRST_PAUSE, LAST_PAUSE] = [1000, 1_200_000];
const SPELLED = [[':', '#c'], ['@', '#a'], ['%', '#p'], ['>=', ':ge:'], ['<=', ':le:'], ['==', ':eq:'], ['!=', ':ne:'], ['~=', ':about:'], ['>', ':gt:'], ['<', ':lt:'], ['|', '/'], ['*', '#x'], ['!', '@']];

// Any text as one word of a routing key: all but letters, digits, - and _ as :xx, byte by byte.
const keyWord = (text) => Buffer.from(text).toString('latin1').replace(/[^\w-]/g, (byte) => `:${Buffer.from(byte, 'latin1').toString('hex')}`);
// The queue of a signature: cap.gtk:ge:3 for gtk>=3.
export const queueOf = (signature) => `cap.${SPELLED.reduce((name, [text, spelled]) => name.replaceAll(text, spelled), signature)}`;

// A message from what AMQP carries; throws on what is not of the protocol.
export function decode({ content, properties }) {
  const text = properties.headers?.[HEADER];
  const message = JSON.parse(text ?? content);
  if (typeof message?.t !== 'string') throw new Error('not a message: an object with a type `t` was expected');
  if ((message.v ?? 1) !== 1) throw new Error(`protocol version ${message.v}; this worker speaks 1`);
  return { ...message, data: text === undefined ? Buffer.alloc(0) : content };
}

export class Link {
  // `on` is told: linked(), unlinked(), offered(offer, delivery), received(message), status().
  constructor(url, queues, log, on) {
    Object.assign(this, { url, queues, log, on, up: false, wanted: false });
    this.user = decodeURIComponent(new URL(url).username || 'guest');
    this.instance = randomUUID(); // sessions do not outlive this process, so neither does its identity
    this.tags = new Map(); // queue -> consumer tag
    this.news = new Map(); // master -> what its catalogue said
    this.pause = FIRST_PAUSE;
  }
  async run() {
    for (let failures = 0; !this.closing; failures++) {
      const lost = new Promise((resolve) => (this.lose = resolve));
      try {
        await this.connect();
        failures = 0;
        await lost;
      } catch (error) {
        if (failures === 0) this.log('broker not reached', { reason: error.message });
      }
      if (this.up) this.log('link down');
      this.up = false;
      this.tags.clear();
      this.on.unlinked();
      this.connection?.close().catch(() => {}); // as far as it is open
      await new Promise((wait) => setTimeout(wait, Math.random() * Math.min(30_000, 500 * 2 ** failures)));
    }
  }
  async connect() {
    const { lose } = this;
    const watched = (what) => what.on('error', lose).on('close', lose);
    this.connection = watched(await amqp.connect(this.url, { heartbeat: 10 }));
    this.publisher = watched(await this.connection.createConfirmChannel());
    for (const [name, type] of Object.entries(EXCHANGES)) await this.publisher.assertExchange(name, type, { durable: true });
    this.address = `agent.${keyWord(this.user)}.${this.instance}.${randomBytes(6).toString('hex')}`;
    const control = watched(await this.connection.createChannel());
    await control.assertQueue(this.address, { exclusive: true, durable: false, arguments: { 'x-queue-type': 'classic' } });
    for (const key of [this.address, 'all', 'tell']) await control.bindQueue(this.address, 'bb.control', key);
    await control.bindQueue(this.address, 'bb.fleet', 'catalogue');
    this.offers = watched(await this.connection.createChannel());
    await this.offers.prefetch(1); // for each consumer, so the others are cancelled when an offer comes
    await control.consume(this.address, (delivery) => (delivery ? this.control(delivery) : lose()), { noAck: true });
    this.news.clear();
    this.up = true;
    this.log('link up', { address: this.address });
    this.on.linked();
  }
  // Rule 22: from bb.fleet a catalogue, else what came straight through bb.control, and from somebody in particular.
  control(delivery) {
    const { fields: { exchange, routingKey }, properties: { userId, headers = {} } } = delivery;
    if (routingKey === 'tell') return this.on.status(); // somebody wishes to know
    const straight = !Object.keys(headers).some((name) => /^x-(death|first-death|last-death)/.test(name));
    const direct = exchange === 'bb.control' && [this.address, 'all'].includes(routingKey);
    const catalogue = exchange === 'bb.fleet' && routingKey === 'catalogue';
    this.read(delivery, (message) => {
      if (!straight || !userId || !(message.t === 'catalogue' ? catalogue : direct)) throw new Error(`not believed: from user ${userId} through ${exchange} as ${routingKey}`);
      message.t === 'catalogue' ? this.told(message) : this.on.received(message, keyWord(userId));
    });
  }
  // Hands a message on to `use`. What cannot be read goes to bb.dead with the reason; then false.
  read(delivery, use) {
    try {
      use(decode(delivery));
      return true;
    } catch (error) {
      this.log('message rejected', { reason: error.message });
      const { type, contentType, headers } = delivery.properties;
      const known = Object.fromEntries(KEPT.map((name) => [name, headers?.[name]]).filter(([, text]) => typeof text === 'string' && text.length < 16_384));
      const said = { type, contentType, userId: this.user, persistent: true, headers: { ...known, 'bb-reason': error.message.slice(0, 500) } };
      this.publisher.publish('bb.dead', '', delivery.content, said);
      return false;
    }
  }
  // A master has declared what its catalogue names: news of it is a reason to look for what was missing.
  told({ master, incarnation, made, signatures }) {
    const news = JSON.stringify([incarnation, made, signatures]);
    if (this.news.get(master) === news) return;
    this.news.set(master, news);
    this.pause = FIRST_PAUSE;
    if (this.wanted) this.consume();
  }
  // Consumes every queue that exists; looks again, less and less often, for those that do not yet.
  async consume() {
    this.wanted = true;
    for (const queue of this.queues) {
      if (!this.up || !this.wanted || this.tags.has(queue)) continue;
      const tag = randomUUID();
      this.tags.set(queue, tag);
      try {
        const probe = (await this.connection.createChannel()).on('error', () => {});
        await probe.checkQueue(queue); // closes the channel when there is no such queue
        await probe.close();
        if (!this.wanted || this.tags.get(queue) !== tag) continue;
        await this.offers.consume(queue, (delivery) => this.offered(delivery, queue), { consumerTag: tag });
      } catch {
        this.forget(queue);
      }
    }
  }
  forget(queue) {
    this.tags.delete(queue); // it does not exist, or the broker has cancelled its consumer
    clearTimeout(this.again);
    this.again = setTimeout(() => this.wanted && this.consume(), this.pause);
    this.pause = Math.min(2 * this.pause, LAST_PAUSE);
  }
  offered(delivery, queue) {
    if (delivery === null) this.forget(queue);
    else if (!this.read(delivery, (offer) => this.on.offered(offer, delivery, queue))) this.offers.ack(delivery);
  }
  cancel(served) { // the queue of an offer that is taken comes last from now on, or the others would wait for its end
    this.wanted = false;
    this.queues = [...this.queues].sort((one, other) => (one === served) - (other === served));
    if (this.up) for (const tag of this.tags.values()) this.offers.cancel(tag).catch(() => {}); // the link is going
    this.tags.clear();
  }
  // how: ack, park (reject: the queue dead-letters it to bb.parked) or giveBack (to whoever comes next).
  settle(delivery, how) {
    if (!this.up) return; // the broker has it back already
    how === 'ack' ? this.offers.ack(delivery) : this.offers.nack(delivery, false, how === 'giveBack');
  }
  // To `claims` or `events` of a master.
  reply(master, place, message, data = Buffer.alloc(0), properties = {}) {
    if (!this.up) return;
    const text = JSON.stringify({ v: 1, ...message });
    const bulk = data.length > 0;
    this.publisher.publish('bb.replies', `${keyWord(this.user)}.${master}.${place}`, bulk ? data : Buffer.from(text), {
      type: message.t, userId: this.user, persistent: true,
      contentType: bulk ? 'application/octet-stream' : 'application/json', headers: bulk ? { [HEADER]: text } : {}, ...properties,
    });
  }
  // Who misses a status hears the next one.
  status(message) {
    if (!this.up) return;
    const said = { type: message.t, userId: this.user, contentType: 'application/json', headers: {} };
    this.publisher.publish('bb.fleet', 'status', Buffer.from(JSON.stringify({ v: 1, ...message })), said);
  }
  async close() {
    this.closing = true;
    if (!this.up) return;
    await this.publisher.waitForConfirms();
    await this.offers.close(); // with what was acknowledged last
  }
}
