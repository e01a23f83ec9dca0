// The journal of one session: every event, numbered from 1, kept until the session is released.
// Bulk data lies in a file, so that no size of log makes this process grow; the rest stays in memory.
import fs from 'node:fs';

export class Journal {
  constructor(file) {
    Object.assign(this, { fd: fs.openSync(file, 'wx+', 0o600), end: 0, events: [] });
    fs.unlinkSync(file); // it is ours alone, and gone with this process
  }
  // An event is { n, kind, value?, interrupted?, data? }; its number is `events.length` afterwards.
  append({ data = Buffer.alloc(0), ...event }) {
    for (let done = 0; done < data.length; ) done += fs.writeSync(this.fd, data, done, data.length - done, this.end + done);
    this.events.push({ event: { ...event, seq: this.events.length + 1 }, at: this.end, size: data.length });
    this.end += data.length;
  }
  // Event `seq`, which must be there: { event, data }.
  read(seq) {
    const { event, at, size } = this.events[seq - 1];
    const data = Buffer.alloc(size);
    for (let done = 0; done < size; ) done += fs.readSync(this.fd, data, done, size - done, at + done);
    return { event, data };
  }
  close() { fs.closeSync(this.fd); }
}
