// Buildbot's remote commands. Each takes (args, context) and resolves to the text of a failure, or undefined.
// context: dir (the builder's folder), emit(event), pull(offset, length) -> { size, data }, onInterrupt(function), room().
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, promises as fs } from 'node:fs';
import path from 'node:path';

const BLOCK = 256 * 1024;
const update = (context, key, value) => context.emit({ kind: 'update', value: [key, value] });
const text = (context, kind, line) => context.emit({ kind, data: Buffer.from(line) });
const at = (context, ...names) => path.resolve(context.dir, ...names);
const many = (value) => (Array.isArray(value) ? value : [value]);
// A word that must not be shown comes as ["obfuscated", real, shown].
const word = (index) => (part) => (Array.isArray(part) && part[0] === 'obfuscated' ? part[index] : part);
// To a command's whole process group, if it is still there.
const signal = (pid, name) => { try { process.kill(-pid, name); } catch { /* it has ended */ } };

function environment(wanted, cwd) {
  const result = { ...process.env, PWD: cwd };
  for (const name of ['AMQP_URL', 'WORKER_AGENT_AMQP_URL']) delete result[name]; // no password for builds
  for (const [name, value] of Object.entries(wanted ?? {})) {
    if (value === null) delete result[name];
    else result[name] = many(value).join(path.delimiter).replace(/\$\{(\w+)\}/g, (_, other) => process.env[other] ?? '');
  }
  return result;
}

// Kills the group when this worker ends without doing so: it waits for the end of its standard input.
const guard = (pid) => spawn('/bin/sh', ['-c', `cat >/dev/null; kill -s KILL -- -${pid}`], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });

async function shell(args, context) {
  const cwd = at(context, args.workdir ?? '.');
  await fs.mkdir(cwd, { recursive: true });
  const argv = Array.isArray(args.command) ? args.command : ['/bin/sh', '-c', args.command];
  const shown = Array.isArray(args.command) ? args.command.map(word(2)).join(' ') : args.command;
  text(context, 'header', `${shown}\n in dir ${cwd} (timeout ${args.timeout ?? 'none'} secs)\n`);
  const [file, ...rest] = argv.map(word(1));
  const stdio = [args.initial_stdin == null ? 'ignore' : 'pipe', 'pipe', 'pipe'];
  const child = spawn(file, rest, { cwd, env: environment(args.env, cwd), detached: true, stdio });
  const watch = child.pid && guard(child.pid);
  const timers = [];
  let quiet, killed = false;
  const kill = (why, reason) => {
    if (killed || child.pid === undefined) return;
    killed = true;
    if (reason) update(context, 'failure_reason', reason);
    text(context, 'header', `\n${why}, attempting to kill\n`);
    signal(child.pid, args.sigtermTime == null ? `SIG${args.interruptSignal ?? 'KILL'}` : 'SIGTERM');
    timers.push(setTimeout(signal, (args.sigtermTime ?? 5) * 1000, child.pid, 'SIGKILL'));
  };
  const heard = () => {
    clearTimeout(quiet);
    if (args.timeout) quiet = setTimeout(kill, args.timeout * 1000, `command timed out: ${args.timeout} seconds without output`, 'timeout_without_output');
  };
  if (args.maxTime) timers.push(setTimeout(kill, args.maxTime * 1000, `command timed out: ${args.maxTime} seconds elapsed`, 'timeout'));
  context.onInterrupt(() => kill('command interrupted'));
  heard();
  for (const name of ['stdout', 'stderr']) {
    child[name].on('data', (data) => {
      heard();
      if (!(args[`want_${name}`] ?? true)) return;
      for (let from = 0; from < data.length; from += BLOCK) context.emit({ kind: name, data: data.subarray(from, from + BLOCK) });
      const room = context.room(); // none: the process waits at its full pipe
      if (room) room.then(() => child[name].resume(), child[name].pause());
    });
  }
  if (child.stdin) child.stdin.on('error', () => child.stdin.destroy()).end(args.initial_stdin);
  child.once('exit', () => killed && signal(child.pid, 'SIGKILL')); // what ignored the first signal
  const ended = await new Promise((done) => {
    child.once('error', (error) => done({ error })).once('close', (code, name) => done({ code, name }));
  });
  [quiet, ...timers].forEach(clearTimeout);
  watch?.kill('SIGKILL');
  if (ended.error) text(context, 'stderr', `${ended.error.message}\n`);
  if (ended.name) text(context, 'header', `process killed by signal ${ended.name}\n`);
  update(context, 'rc', ended.error || ended.name || (killed && !ended.code) ? -1 : ended.code);
}

// What every command on files says: one rc, and on failure why.
const onFiles = (work) => async (args, context) => {
  const failed = await work(args, context).then(() => null, (error) => error);
  if (failed) text(context, 'stderr', `${failed.message}\n`);
  update(context, 'rc', failed ? Math.abs(failed.errno ?? 1) : 0);
};

// The bytes of a stream as events, at most `maxsize` of them.
async function send(stream, maxsize, context) {
  let left = maxsize ?? Infinity;
  for await (const data of stream) {
    if (context.interrupted()) throw new Error('interrupted');
    context.emit({ kind: 'write', data: data.subarray(0, left) });
    if ((left -= data.length) < 0) throw new Error(`Maximum filesize reached, truncating after ${maxsize} bytes`);
    await context.room();
  }
}

async function uploadFile({ workdir, workersrc, maxsize, keepstamp }, context) {
  const file = at(context, workdir ?? '.', workersrc);
  const { atimeMs, mtimeMs } = await fs.stat(file);
  await send(createReadStream(file, { highWaterMark: BLOCK }), maxsize, context);
  if (keepstamp) context.emit({ kind: 'writer', value: ['utime', [atimeMs / 1000, mtimeMs / 1000]] });
}

async function uploadDirectory({ workdir, workersrc, maxsize, compress }, context) {
  const argv = [`-c${{ gz: 'z', bz2: 'j' }[compress] ?? ''}`, '-C', at(context, workdir ?? '.', workersrc), '.'];
  const tar = spawn('tar', argv, { stdio: ['ignore', 'pipe', 'ignore'] });
  const [[code]] = await Promise.all([once(tar, 'close'), send(tar.stdout, maxsize, context)]);
  if (code !== 0) throw new Error(`tar ended with status ${code}`);
  context.emit({ kind: 'writer', value: ['unpack'] });
}

async function downloadFile({ workdir, workerdest, maxsize, mode }, context) {
  const target = at(context, workdir ?? '.', workerdest);
  await fs.mkdir(path.dirname(target), { recursive: true });
  const to = await fs.open(`${target}.part`, 'w'); // the file appears whole or not at all
  try {
    for (let from = 0, size = Infinity; from < size; ) {
      const piece = await context.pull(from, BLOCK);
      size = piece.size;
      if (maxsize != null && size > maxsize) throw new Error(`Maximum filesize reached, truncating file '${target}'`);
      await to.write(piece.data, 0, piece.data.length, from);
      from += piece.data.length;
    }
    if (mode != null) await to.chmod(mode);
    await fs.rename(`${target}.part`, target);
  } finally {
    await to.close();
    await fs.rm(`${target}.part`, { force: true });
  }
}

export const COMMANDS = {
  shell,
  mkdir: onFiles((args, context) => fs.mkdir(at(context, args.dir), { recursive: true })),
  rmdir: onFiles((args, context) => Promise.all(many(args.dir).map((name) => fs.rm(at(context, name), { recursive: true, force: true })))),
  rmfile: onFiles((args, context) => fs.rm(at(context, args.path))),
  cpdir: onFiles((args, context) => fs.cp(at(context, args.fromdir), at(context, args.todir), { recursive: true, verbatimSymlinks: true, preserveTimestamps: true })),
  listdir: onFiles(async (args, context) => update(context, 'files', await fs.readdir(at(context, args.dir)))),
  stat: onFiles(async (args, context) => {
    const { mode, ino, dev, nlink, uid, gid, size, ...ms } = await fs.stat(at(context, args.workdir ?? '', args.file));
    const seconds = [ms.atimeMs, ms.mtimeMs, ms.ctimeMs].map((time) => Math.floor(time / 1000));
    update(context, 'stat', [mode, ino, dev, nlink, uid, gid, size, ...seconds]);
  }),
  uploadFile: onFiles((args, context) => uploadFile(args, context).finally(() => context.emit({ kind: 'writer', value: ['close'] }))),
  uploadDirectory: onFiles(uploadDirectory),
  downloadFile: onFiles(downloadFile),
};
