import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { type Diagnosis, type DoctorOptions, examineRegion } from '../src/doctor/doctor.ts';
import type { CheckName, Finding } from '../src/doctor/finding.ts';
import type { SecretSource } from '../src/packet-keys.ts';

const SSHBH = fileURLToPath(new URL('../src/bin/sshbh.js', import.meta.url));

/** A folder that goes with the test. */
export function folder(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'd'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  return directory;
}

/** A file in it. */
export function file(directory: string, name: string, text: string | Uint8Array, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

/** A port with a bastion's manners: it listens from the first packet on, and greets as told; null: never. */
export async function bastion(
  t: Test,
  greeting: string | null,
): Promise<{ readonly port: number; readonly udpPort: number; readonly packets: readonly Buffer[] }> {
  const doors: Server[] = [];
  const packets: Buffer[] = [];
  const port = await freePort();
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => {
    for (const door of doors) door.close();
    socket.close();
  });
  socket.on('message', (packet) => {
    packets.push(packet);
    if (greeting === null || packets.length > 1) return;
    const door = createServer((connection) => {
      connection.on('error', () => {});
      connection.end(greeting);
    });
    doors.push(door.listen(port, '127.0.0.1'));
  });
  return { port, udpPort: socket.address().port, packets };
}

/** A port of this machine that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A time server whose clock is wrong by `aheadMs`; `spoil` may make the answer worse. Its port. */
export async function timeServer(
  t: Test,
  aheadMs: number,
  spoil: (answer: Buffer) => Buffer = (answer) => answer,
): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  socket.on('message', (question: Buffer, { port, address }: RemoteInfo) => {
    const answer = Buffer.alloc(48);
    answer[0] = 0x24;
    answer[1] = 2;
    question.copy(answer, 24, 40, 48);
    const seconds = (Date.now() + aheadMs) / 1000 + 2_208_988_800;
    for (const at of [32, 40]) {
      answer.writeUInt32BE(Math.floor(seconds) % 2 ** 32, at);
      answer.writeUInt32BE(Math.floor((seconds % 1) * 2 ** 32), at + 4);
    }
    socket.send(spoil(answer), port, address);
  });
  return socket.address().port;
}

/** Nobody is there to be asked. */
export const NOBODY: SecretSource = {
  piped: null,
  ask: (what) => Promise.reject(new Error(`the test is asked for ${what}`)),
};

/** Options that leave the network alone. */
export function options(changes: Partial<DoctorOptions> = {}): DoctorOptions {
  return {
    family: null,
    ssh: 'ssh',
    secrets: NOBODY,
    username: 'alice',
    nowMs: Date.now,
    clock: { servers: [], port: 9, limitMs: 300 },
    waitMs: null,
    ...changes,
  };
}

/** What the doctor finds. */
export async function examine(
  rc: string,
  changes: Partial<DoctorOptions> = {},
): Promise<readonly Diagnosis[]> {
  const all: Diagnosis[] = [];
  for await (const one of examineRegion(rc, 'x', options(changes))) all.push(one);
  return all;
}

/** The findings of one check. */
export function of(all: readonly Diagnosis[], check: CheckName): readonly Finding[] {
  return all.filter((one) => one.check === check);
}

/** The only finding of one check. */
export function only(all: readonly Diagnosis[], check: CheckName): Finding {
  const [first, ...others] = of(all, check);
  if (first === undefined || others.length > 0) throw new Error(`${check}: ${others.length + 1} findings`);
  return first;
}

/** How a program ended. */
export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `sshbh doctor`; `wrapper` is a command line that comes before node. */
export async function doctor(
  t: Test,
  argv: readonly string[],
  { wrapper = [], env = {} }: { readonly wrapper?: readonly string[]; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Run> {
  const [program = '', ...args] = [...wrapper, process.execPath, SSHBH, 'doctor', ...argv];
  const child: ChildProcess = spawn(program, args, {
    env: { ...process.env, FORCE_COLOR: undefined, NO_COLOR: undefined, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}
