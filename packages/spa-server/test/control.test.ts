import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { until } from 'spa-lab';
import t, { type Test } from 'tap';
import {
  type ControlAnswer,
  type ControlRequest,
  formatControlRequest,
  parseControlRequest,
} from '../src/control/protocol.ts';
import { askDaemon, controlPath, listenControl } from '../src/control/socket.ts';
import { parseSelector } from '../src/grants/selector.ts';

const ANSWER: ControlAnswer = { counters: [{ what: 'a line\nof "words"', count: 7 }], roster: null };

t.test('who asks is answered, by a socket that only its owner may use', async (t) => {
  const { path, asked } = await listen(t, async () => ANSWER);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.same(await askDaemon(path, { do: 'counters' }), ANSWER);
  const revoke: ControlRequest = { do: 'revoke', which: parseSelector('user=a "b"\nc'), cut: true };
  t.same(await askDaemon(path, revoke), ANSWER);
  t.same(asked, [{ do: 'counters' }, revoke]);
});

t.test('requests survive the way, and nothing else is one', async (t) => {
  const selectors = [
    'user=alice',
    `operator=${'AB'.repeat(20)}`,
    'address=192.0.2.7',
    'address=2001:db8::/32',
    'grant=62c7edd78ac6df1e',
  ];
  const requests: readonly ControlRequest[] = [
    { do: 'list' },
    { do: 'counters' },
    { do: 'revoke', which: { by: 'all' }, cut: false },
    ...selectors.map((text) => ({ do: 'revoke', which: parseSelector(text), cut: true }) as const),
  ];
  for (const request of requests) t.same(parseControlRequest(formatControlRequest(request)), request);
  const others = [
    '',
    '{}',
    'null',
    '[]',
    '7',
    '{"do":"stop"}',
    '{"do":"revoke"}',
    '{"do":"revoke","which":"x"}',
    '{',
  ];
  for (const line of others) t.equal(parseControlRequest(line), null, line);
});

t.test('nobody there is null; a daemon that died, or is another, is told', async (t) => {
  const { path, socket } = await listen(t, async () => ANSWER);
  await t.rejects(
    listenControl(path, async () => ANSWER),
    { name: 'UnavailableError', message: /another daemon/ },
  );
  t.same(await askDaemon(path, { do: 'list' }), ANSWER, 'the first one still answers');
  await socket.close();
  t.notOk(existsSync(path));
  t.equal(await askDaemon(path, { do: 'list' }), null);
  t.equal(await askDaemon(join(path, 'x'), { do: 'list' }), null);
  writeFileSync(path, '');
  t.equal(await askDaemon(path, { do: 'list' }), null, 'what a killed daemon left');
  const next = await listenControl(path, async () => ANSWER);
  t.same(await askDaemon(path, { do: 'list' }), ANSWER, 'is taken over');
  await next.close();
});

t.test('nonsense, silence and haste cost the daemon nothing', async (t) => {
  const { path, asked, socket } = await listen(t, async () => ANSWER);
  const said = (text: string): Promise<string> =>
    new Promise((resolve) => {
      let heard = '';
      const connection = createConnection(path, () => connection.end(text));
      connection.on('data', (chunk: Buffer) => {
        heard += chunk.toString();
      });
      connection.on('error', () => {});
      connection.on('close', () => resolve(heard));
    });
  t.match(await said('nonsense\n'), /does not understand/);
  t.equal(await said('x'.repeat(100_000)), '', 'too long');
  t.match(await said(''), /does not understand/);
  for (let i = 0; i < 20; i++)
    createConnection(path, () => {})
      .on('error', () => {})
      .destroy();
  const idle = createConnection(path);
  idle.on('error', () => {});
  await turn();
  t.same(await askDaemon(path, { do: 'list' }), ANSWER);
  t.equal(asked.length, 1);
  await socket.close();
  t.pass('it ends though somebody is connected and says nothing');
});

t.test('a daemon that ends answers first what it was asked', async (t) => {
  let answer = (): void => {};
  const { path, asked, socket } = await listen(t, async () => {
    await new Promise<void>((resolve) => {
      answer = resolve;
    });
    return ANSWER;
  });
  const answered = askDaemon(path, { do: 'list' });
  await until('it is asked', () => asked.length === 1);
  const closing = socket.close();
  answer();
  t.same(await answered, ANSWER);
  await closing;
});

async function listen(t: Test, answer: (request: ControlRequest) => Promise<ControlAnswer>) {
  const folder = mkdtempSync(join(tmpdir(), 'control-'));
  chmodSync(folder, 0o755);
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = controlPath(folder);
  const asked: ControlRequest[] = [];
  const socket = await listenControl(path, (request) => {
    asked.push(request);
    return answer(request);
  });
  t.teardown(() => socket.close());
  return { path, asked, socket };
}
