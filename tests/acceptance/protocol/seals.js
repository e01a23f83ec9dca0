// Opens and seals the vectors of rule 24 (on standard input) with the Node worker's code; prints what comes of each.
import { createPrivateKey } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { newKeys, Seal } from '../../../examples/worker-node/seal.js';

const { agent, parties, seal: key, messages } = JSON.parse(await text(process.stdin));
const [d, x] = [agent.private, agent.public].map((hex) => Buffer.from(hex, 'hex').toString('base64url'));
const privateKey = createPrivateKey({ key: { kty: 'OKP', crv: 'X25519', d, x }, format: 'jwk' });
const keys = { ...newKeys(), private: privateKey, public: agent.public };
const { master, incarnation, request, signature, run, session, address } = parties;
const seal = new Seal(keys, key, [master, incarnation, request, signature, run, session, address]);

const attempt = (sealed) => {
  try {
    const { data, ...message } = seal.open(sealed);
    return { message, data: data.toString('base64') };
  } catch (error) {
    return { error: error.message };
  }
};
const found = messages.map(({ from, message, sealed }) => {
  const fields = { ...sealed.message, data: Buffer.from(sealed.data, 'base64') };
  if (from === 'master') return [attempt(fields), attempt(fields), attempt({ ...fields, number: 999 })];
  const [, bytes] = seal.close(message.message, Buffer.from(message.data, 'base64'));
  return bytes.toString('base64');
});
console.log(JSON.stringify(found));
