import fc from 'fast-check';
import t from 'tap';
import { createLog, printable, teeLog } from '../src/system/log.ts';

function collect({
  verbose,
  priorityPrefix,
}: {
  readonly verbose: boolean;
  readonly priorityPrefix: boolean;
}) {
  const written: string[] = [];
  const options = { least: verbose ? 'debug' : 'info', priorityPrefix, format: 'text' } as const;
  return { written, log: createLog((text) => written.push(text), options) };
}

t.test('each level has its priority, and debug lines are for those who ask', async (t) => {
  const { written, log } = collect({ verbose: false, priorityPrefix: true });
  log.debug('a');
  log.info('b');
  log.warning('c');
  log.error('d');
  t.same(written, ['<6>b\n', '<4>c\n', '<3>d\n']);
  const verbose = collect({ verbose: true, priorityPrefix: false });
  verbose.log.debug('a');
  t.same(verbose.written, ['a\n']);
});

t.test('two logs are told the same', async (t) => {
  const [a, b] = [
    collect({ verbose: true, priorityPrefix: true }),
    collect({ verbose: false, priorityPrefix: false }),
  ];
  const both = teeLog(a.log, b.log);
  both.debug('x');
  both.error('y');
  t.same([a.written, b.written], [['<7>x\n', '<3>y\n'], ['y\n']]);
});

t.test('nothing that a terminal obeys comes out, and a line stays one line', async (t) => {
  t.equal(printable('a\u001b[2Jb\r\nc\u0085\u2028d\u202ee \u00e9'), 'a?[2Jb??c??d?e \u00e9');
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const { written, log } = collect({ verbose: true, priorityPrefix: true });
        log.info(text);
        log.changeFormat('json');
        log.info(text);
        return (
          written.length === 2 &&
          written.every((line) => /^<6>[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*\n$/u.test(line)) &&
          JSON.parse(written[1]?.slice(3) ?? '').text === text
        );
      }),
    ),
  );
});

t.test('with LOG_FORMAT json an event is one object in one line, whatever it is as text', async (t) => {
  const { written, log } = collect({ verbose: false, priorityPrefix: false });
  const event = { event: 'starting', version: '1.0.0', pid: 7 } as const;
  log.event(event);
  t.match(written, [/^[^\n]+\n[^\n]+\n$/], 'two lines of text, written at once');
  log.changeFormat('json');
  log.event(event);
  log.debug('nobody asked');
  t.equal(written.length, 2);
  const object = JSON.parse(written[1] ?? '');
  t.match(object, { time: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/, level: 'info', event: 'starting', pid: 7 });
  t.same(Object.keys(object), ['time', 'level', 'event', 'version', 'pid']);
});
