import { chmodSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { UnavailableError } from '../failure.ts';
import {
  type ControlAnswer,
  type ControlRequest,
  type ErrorAnswer,
  formatControlRequest,
  parseControlRequest,
} from './protocol.ts';

/** Characters of a request; a selector is far shorter. */
const REQUEST_LIMIT = 4_096;
/** Who connects has so long to ask. */
const ASK_LIMIT_MS = 5_000;
/** Who asks waits so long: a firewall may be slow, and a revocation waits for what is under way. */
const ANSWER_LIMIT_MS = 30_000;
const MAX_CONNECTIONS = 16;

/** Where the daemon with this run folder is asked. */
export function controlPath(runFolder: string): string {
  return join(runFolder, 'spa-server.sock');
}

/** A socket on which the daemon is asked. */
export interface ControlSocket {
  /** Answers what was asked, and takes no more. */
  close(): Promise<void>;
}

/**
 * Listens on a unix socket at `path`, which only its owner can use. `answer` may reject with any error that
 * `describe` knows a line for.
 * @throws UnavailableError if another process answers there; the system's error if there can be no socket.
 */
export async function listenControl(
  path: string,
  answer: (request: ControlRequest) => Promise<ControlAnswer>,
): Promise<ControlSocket> {
  if (await isAnswered(path)) {
    throw new UnavailableError(`another daemon uses ${path}; stop it, or write another FWKNOP_RUN_DIR`);
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const connections = new Set<Promise<void>>();
  const asking = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    asking.add(socket);
    const serving = serve(socket, (request) => {
      asking.delete(socket);
      return answer(request);
    }).finally(() => {
      asking.delete(socket);
      connections.delete(serving);
    });
    connections.add(serving);
  });
  server.maxConnections = MAX_CONNECTIONS;
  // Nobody can connect before its mode is right: it has another name until then.
  const draft = `${path}.${process.pid}`;
  rmSync(draft, { force: true });
  await listen(server, draft);
  try {
    chmodSync(draft, 0o600);
    renameSync(draft, path);
  } catch (error) {
    server.close();
    throw error;
  }
  server.unref();
  return {
    close: async () => {
      rmSync(path, { force: true });
      server.close();
      for (const socket of asking) socket.destroy();
      await Promise.all(connections);
    },
  };
}

/**
 * Asks the daemon that listens at `path`; null if none does.
 * @throws UnavailableError if it does not answer, or nobody but the owner may ask.
 */
export async function askDaemon(path: string, request: ControlRequest): Promise<ControlAnswer | null> {
  const socket = await connect(path);
  if (socket === null) return null;
  socket.setTimeout(ANSWER_LIMIT_MS, () => socket.destroy(new Error('no answer in time')));
  socket.end(`${formatControlRequest(request)}\n`);
  const line = await readLine(socket, Number.POSITIVE_INFINITY).catch((error: Error) => {
    throw new UnavailableError(`the daemon at ${path} did not answer: ${error.message}`);
  });
  socket.destroy();
  try {
    return JSON.parse(line) as ControlAnswer;
  } catch {
    throw new UnavailableError(`the daemon at ${path} ended before it had answered; look whether it did it`);
  }
}

async function serve(
  socket: Socket,
  answer: (request: ControlRequest) => Promise<ControlAnswer>,
): Promise<void> {
  // Who asked may be gone before the answer.
  socket.on('error', () => {});
  socket.setTimeout(ASK_LIMIT_MS, () => socket.destroy());
  const line = await readLine(socket, REQUEST_LIMIT).catch(() => null);
  if (line === null) return void socket.destroy();
  socket.setTimeout(0);
  const request = parseControlRequest(line);
  const answered = request === null ? NOT_UNDERSTOOD : await answer(request);
  await new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
    socket.setTimeout(ASK_LIMIT_MS, () => socket.destroy());
    socket.end(`${JSON.stringify(answered)}\n`, () => socket.destroy());
  });
}

const NOT_UNDERSTOOD: ErrorAnswer = {
  error: 'the daemon does not understand this request; it may be of another version: restart it',
  exitCode: 69,
};

/** What comes until the first end of a line, or until the other side has ended. */
function readLine(socket: Socket, limit: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: string[] = [];
    let length = 0;
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      const end = chunk.indexOf('\n');
      chunks.push(end < 0 ? chunk : chunk.slice(0, end));
      length += chunk.length;
      if (end >= 0) resolve(chunks.join(''));
      else if (length > limit) reject(new Error('too long'));
    });
    socket.once('end', () => resolve(chunks.join('')));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
}

async function isAnswered(path: string): Promise<boolean> {
  const socket = await connect(path).catch(() => null);
  socket?.destroy();
  return socket !== null;
}

/** Null if nobody listens there. */
function connect(path: string): Promise<Socket | null> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'ENOTDIR')
        return resolve(null);
      reject(error);
    });
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
