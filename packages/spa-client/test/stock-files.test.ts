import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from 'spa-host';
import { environment, lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import { parseRcFile, type RcFile, stanzaSettings } from '../src/rc-file.ts';

// fwknop writes a template when there is no rc file: it is asked for one, for it is not ours to copy.

const skip = lackingPrograms('fwknop');

t.test('the rc file that fwknop writes by itself is read', { skip }, async (t) => {
  const rcFile = parseRcFile('rc', template(t));
  t.same(
    rcFile.stanzas.map(({ name }) => name),
    ['default'],
  );
  t.same(stanzaSettings(rcFile, null), {});
});

t.test('its examples are read, or refused at their line', { skip }, async (t) => {
  const text = template(t);
  const lines = text.split('\n');
  const examples = lines.flatMap((line, index) => (/^#[A-Z][A-Z_]+ {2,}\S/.test(line) ? [index] : []));
  t.ok(examples.length >= 15, `${examples.length} examples`);
  const refused: string[] = [];
  for (const index of examples) {
    const example = (lines[index] ?? '').slice(1);
    const error = errorOf(parseRcFile('rc', ['[default]', example].join('\n')));
    if (error === null) continue;
    t.match(error.message, /^rc:2: /);
    refused.push(example.split(' ')[0] ?? '');
  }
  t.same(
    refused.filter((keyword) => !NO_VALUES.includes(keyword)),
    ['CLIENT_TIMEOUT'],
    'what fwknop itself does not know',
  );
});

t.test('a stanza as fwknop saves one is read', async (t) => {
  const lines = [
    ...['[192.0.2.2]', 'ACCESS                      tcp/22', 'SPA_SERVER                  192.0.2.2'],
    ...['KEY_BASE64                  c2VjcmV0LWtleS1vZi10aGUtdGVzdA==', 'USE_HMAC                    Y'],
    ...['HMAC_KEY_BASE64             aG1hYy1rZXktb2YtdGhlLXRlc3Q=', 'VERBOSE                     Y'],
    'RESOLVE_IP_HTTPS            Y',
  ];
  t.match(stanzaSettings(parseRcFile('rc', lines.join('\n')), '192.0.2.2'), {
    server: '192.0.2.2',
    access: [{ protocol: 'tcp', port: 22 }],
    useHmac: true,
    verbose: 1,
    allowIp: 'resolve',
  });
});

/** Whose examples have no value, but words such as `<ip addr>`, or need what is refused. */
const NO_VALUES = ['ALLOW_IP', 'SPOOF_USER', 'SPOOF_SOURCE_IP'];

function template(t: Test): string {
  const home = t.testdir({});
  spawnSync('fwknop', ['-n', 'nobody'], { env: { ...environment(), HOME: home } });
  return readFileSync(join(home, '.fwknoprc'), 'utf8');
}

function errorOf(rcFile: RcFile): ConfigError | null {
  try {
    stanzaSettings(rcFile, null);
    return null;
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
}
