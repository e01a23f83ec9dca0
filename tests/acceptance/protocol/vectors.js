// Reads test vectors on standard input with the Node worker's decoder; prints, for each, the message or the error.
import { text } from 'node:stream/consumers';
import { decode } from '../../../examples/worker-node/link.js';

const read = ({ wire: { body, headers } }) => {
  try {
    const { data, ...message } = decode({ content: Buffer.from(body, 'base64'), properties: { headers } });
    return { message, data: data.toString('base64') };
  } catch (error) {
    return { error: error.message };
  }
};
console.log(JSON.stringify(JSON.parse(await text(process.stdin)).map(read)));
