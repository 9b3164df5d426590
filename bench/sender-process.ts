/**
 * Somebody who sends many datagrams to a bastion's SPA port: a process that lives in the operator's network and does what
 * it is told over IPC.
 */
import { createSocket, type Socket } from 'node:dgram';
import type { Junk } from './junk.ts';

/** What the sender is told to do. */
export type SenderOrder =
  /** Sends junk until it is told to stop; `perSecond` null: as fast as it can. */
  | { readonly kind: 'flood'; readonly junk: Junk; readonly perSecond: number | null }
  | { readonly kind: 'stop' }
  /** Takes packets, to be sent in this order. */
  | { readonly kind: 'load'; readonly packets: readonly string[] }
  /** Sends the next so many of those. */
  | { readonly kind: 'send'; readonly count: number };

/** What it answers to all orders but `flood` and `send`. */
export interface SenderAnswer {
  /** Datagrams of the flood that has ended. */
  readonly sent: number;
  readonly microseconds: number;
}

const SOCKETS = 4;
/** A beat of the flood. More than a few of them are not made up for: a sender that is held up sends less. */
const BEAT_MS = 1;
const BEATS_AT_ONCE = 20;
const BATCH = 64;
const DIGITS = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
/** Where in a text its number is. */
const NUMBER_AT = 8;

const [host = '', port = '', localAddress = ''] = process.argv.slice(2);
const sockets = await Promise.all(Array.from({ length: SOCKETS }, connectUdp));
let packets: readonly string[] = [];
let next = 0;
let sent = 0;
let startedAt = 0n;
let isFlooding = false;

process.on('message', (order: SenderOrder) => obey(order));
process.on('disconnect', () => process.exit());
answer({ sent: 0, microseconds: 0 });

function obey(order: SenderOrder): void {
  switch (order.kind) {
    case 'flood':
      flood(order.junk, order.perSecond);
      return;
    case 'stop':
      isFlooding = false;
      answer({ sent, microseconds: microsecondsSinceStart() });
      return;
    case 'load':
      packets = order.packets;
      next = 0;
      answer({ sent: 0, microseconds: 0 });
      return;
    case 'send':
      for (const packet of packets.slice(next, next + order.count)) sockets[0]?.send(packet);
      next += order.count;
  }
}

function flood(junk: Junk, perSecond: number | null): void {
  const texts = junk.texts.map((text) => Buffer.from(text));
  const numberAt = junk.keptLength + NUMBER_AT;
  const most = perSecond === null ? BATCH : Math.max(1, (perSecond / 1000) * BEAT_MS * BEATS_AT_ONCE);
  startedAt = process.hrtime.bigint();
  sent = 0;
  /** What was due and could not be sent in time. */
  let missed = 0;
  isFlooding = true;
  const beat = (): void => {
    if (!isFlooding) return;
    const late = perSecond === null ? BATCH : (perSecond * microsecondsSinceStart()) / 1e6 - sent - missed;
    const due = Math.floor(Math.min(late, most));
    missed += Math.max(0, Math.floor(late) - due);
    for (let i = 0; i < due; i++) sendOne(texts, numberAt);
    if (perSecond === null) setImmediate(beat);
    else setTimeout(beat, BEAT_MS);
  };
  beat();
}

function sendOne(texts: readonly Buffer[], numberAt: number): void {
  const text = texts[sent % texts.length];
  const socket = sockets[sent % SOCKETS];
  if (text === undefined || socket === undefined) return;
  for (let digit = 0, rest = sent; digit < 5; digit++, rest = Math.floor(rest / 64)) {
    text[numberAt + digit] = DIGITS[rest % 64] ?? 0;
  }
  socket.send(text);
  sent += 1;
}

function microsecondsSinceStart(): number {
  return Number(process.hrtime.bigint() - startedAt) / 1000;
}

/** A connected socket sends at once, in the call itself. */
function connectUdp(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.on('error', () => {});
  return new Promise((resolve) => {
    socket.bind(0, localAddress, () => socket.connect(Number(port), host, () => resolve(socket)));
  });
}

function answer(message: SenderAnswer): void {
  process.send?.(message);
}
