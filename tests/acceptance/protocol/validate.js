// Prints what the official AsyncAPI parser says of the document on standard input: { operations, problems }.
import { Parser } from '@asyncapi/parser';
import { text } from 'node:stream/consumers';

const { document, diagnostics } = await new Parser().parse(await text(process.stdin));
const problems = diagnostics.filter(({ severity }) => severity <= 1).map(({ message, path }) => `${path.join('.')}: ${message}`);
console.log(JSON.stringify({ operations: document?.operations().all().map((operation) => operation.id()) ?? [], problems }));
