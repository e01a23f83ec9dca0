// Seals (rule 24): a session's keys by HPKE (RFC 9180: X25519, HKDF-SHA256, ChaCha20-Poly1305), and messages sealed with them.
import { createCipheriv, createDecipheriv, createHmac, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';

const [KEM, SUITE, VERSION] = [Buffer.from('KEM\x00\x20', 'latin1'), Buffer.from('HPKE\x00\x20\x00\x01\x00\x03', 'latin1'), Buffer.from('HPKE-v1')];
const [EMPTY, TAG, WINDOW] = [Buffer.alloc(0), 16, 1024]; // numbers behind the highest one that are still opened

const number = (value, bytes) => Buffer.from(BigInt(value).toString(16).padStart(2 * bytes, '0'), 'hex');
const extract = (suite, salt, label, text) => createHmac('sha256', salt).update(Buffer.concat([VERSION, suite, Buffer.from(label), text])).digest();
const expand = (suite, key, label, text, length) => {
  const info = Buffer.concat([number(length, 2), VERSION, suite, Buffer.from(label), text]);
  let [found, block] = [EMPTY, EMPTY];
  for (let i = 1; found.length < length; i++) {
    block = createHmac('sha256', key).update(Buffer.concat([block, info, Buffer.from([i])])).digest();
    found = Buffer.concat([found, block]);
  }
  return found.subarray(0, length);
};

// A session's key pair: `public` is what its claim tells, 64 hexadecimal digits.
export function newKeys({ publicKey, privateKey } = generateKeyPairSync('x25519')) {
  return { private: privateKey, public: Buffer.from(publicKey.export({ format: 'jwk' }).x, 'base64url').toString('hex') };
}

// Of the session, in the order of rule 24: master, incarnation, request, signature, run, session, address.
export function infoOf(parties) {
  return Buffer.concat(['buildbot-amqp seal 1', ...parties.map(String)].flatMap((text) => [number(Buffer.byteLength(text), 8), Buffer.from(text)]));
}

export class Seal {
  // `key`: the grant's `seal.key`.
  constructor(keys, key, parties) {
    const [enc, info] = [Buffer.from(key, 'hex'), infoOf(parties)];
    const theirs = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: enc.toString('base64url') }, format: 'jwk' });
    const shared = diffieHellman({ privateKey: keys.private, publicKey: theirs }); // throws for a point of low order
    const pair = Buffer.concat([enc, Buffer.from(keys.public, 'hex')]);
    const secret = expand(KEM, extract(KEM, EMPTY, 'eae_prk', shared), 'shared_secret', pair, 32);
    const context = Buffer.concat([Buffer.from([0]), extract(SUITE, EMPTY, 'psk_id_hash', EMPTY), extract(SUITE, EMPTY, 'info_hash', info)]);
    const root = extract(SUITE, secret, 'secret', EMPTY);
    const back = expand(SUITE, expand(SUITE, root, 'exp', context, 32), 'sec', Buffer.from('agent to master'), 44);
    this.into = { key: expand(SUITE, root, 'key', context, 32), nonce: expand(SUITE, root, 'base_nonce', context, 12) };
    this.out = { key: back.subarray(0, 32), nonce: back.subarray(32) };
    Object.assign(this, { key, name: key.slice(0, 16), next: 0, highest: -1, opened: new Set() });
  }
  cipher(make, { key, nonce }, count) {
    const counted = number(count, 12);
    return make('chacha20-poly1305', key, nonce.map((byte, i) => byte ^ counted[i]), { authTagLength: TAG });
  }
  // A message of the session, and its bulk data, as the message `sealed` and its bytes.
  close(message, data = EMPTY) {
    const [text, count] = [Buffer.from(JSON.stringify(message)), this.next++];
    const cipher = this.cipher(createCipheriv, this.out, count);
    const bytes = Buffer.concat([cipher.update(Buffer.concat([number(text.length, 4), text, data])), cipher.final(), cipher.getAuthTag()]);
    return [{ t: 'sealed', session: message.session, seal: this.name, number: count }, bytes];
  }
  // The message in `sealed`; throws where it was changed on its way, opened before, or is not of this session.
  open({ session, seal, number: count, data }) {
    if (seal !== this.name) throw new Error('sealed with another seal than that of the last grant');
    if (this.opened.has(count) || count <= this.highest - WINDOW) throw new Error(`sealed message ${count} came before`);
    if (data.length < TAG) throw new Error('too short for a sealed message');
    const cipher = this.cipher(createDecipheriv, this.into, count);
    cipher.setAuthTag(data.subarray(-TAG));
    const plain = Buffer.concat([cipher.update(data.subarray(0, -TAG)), cipher.final()]); // throws when the tag does not fit
    this.opened.add(count);
    this.highest = Math.max(this.highest, count);
    for (const old of this.opened) if (old <= this.highest - WINDOW) this.opened.delete(old);
    const end = 4 + plain.readUInt32BE(0);
    const message = JSON.parse(plain.subarray(4, end));
    if (message.session !== session || !SEALED.includes(message.t)) throw new Error(`a ${message.t} of another session is sealed in it`);
    return { ...message, data: plain.subarray(end) };
  }
}
export const SEALED = ['start', 'interrupt', 'data']; // of what a master says in such a session only this is sealed
