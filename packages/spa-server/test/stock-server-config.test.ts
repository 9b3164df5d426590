import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { ConfigError } from 'spa-host';
import { environment, lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import { ACCESS_KEYWORDS } from '../src/config/access-config.ts';
import { loadServerConfig } from '../src/config/load.ts';
import { SERVER_KEYWORDS } from '../src/config/server-config.ts';

// The judge is stock fwknopd: what it makes of a file (-D), and whether it takes it at all.

const skip = lackingPrograms('fwknopd');

/** What both daemons can show of a fwknopd.conf; null: it is refused. */
type Outcome = Readonly<Record<string, string | number>> | null;

/** Means the same to both. */
const SAME: readonly string[] = [
  '',
  'MAX_SPA_PACKET_AGE 60',
  'MAX_SPA_PACKET_AGE 60;',
  'MAX_SPA_PACKET_AGE 60 ; seconds',
  'MAX_SPA_PACKET_AGE 60\nMAX_SPA_PACKET_AGE 61',
  'UDPSERV_PORT 53',
  'DIGEST_FILE $FWKNOP_RUN_DIR/other.cache',
  'FWKNOP_RUN_DIR /tmp\nFWKNOP_PID_FILE $FWKNOP_RUN_DIR/x.pid\nDIGEST_FILE $FWKNOP_RUN_DIR/x.cache',
  'FWKNOP_CONF_DIR /tmp\nDIGEST_FILE $FWKNOP_CONF_DIR/x.cache',
  'FWKNOP_PID_FILE /tmp/x.pid',
  'VERBOSE 2',
  'SYSLOG_FACILITY LOG_LOCAL3',
  'SYSLOG_IDENTITY gate',
  'IPT_INPUT_ACCESS ACCEPT, filter, INPUT, 1, GATE, 1',
  'ENABLE_UDP_SERVER Y',
  // Refused by both.
  'MAX_SPA_PACKET_AGE 0',
  'MAX_SPA_PACKET_AGE 100001',
  'UDPSERV_PORT 0',
  'VERBOSE -1',
  'SYSLOG_FACILITY LOG_NOWHERE',
  'IPT_INPUT_ACCESS nonsense',
];

/** What fwknopd takes and makes something of that nobody meant. */
const REFUSED_HERE: readonly string[] = [
  'MAX_SPA_PACKET_AGE 60s',
  'MAX_SPA_PACKET_AG 60',
  'UDPSERV_PORT 70000',
  'VERBOSE x',
  'ENABLE_UDP_SERVER true',
  'DIGEST_FILE $NOWHERE/digest.cache',
  // What would let packets in twice.
  'ENABLE_SPA_PACKET_AGING N',
  'ENABLE_DIGEST_PERSISTENCE N',
];

/** What fwknopd passes over, or takes for something else, and is read here. */
const READ_HERE: readonly string[] = ['MAX_SPA_PACKET_AGE: 60', 'DIGEST_FILE relative/digest.cache'];

t.test('fwknopd.conf means to fwknopd what it means here', { skip }, async (t) => {
  const judge = createJudge(t);
  for (const text of SAME) {
    const { ours, theirs } = judge(text);
    t.same(ours, theirs, text);
  }
});

t.test('all that fwknopd -D shows is a keyword here', { skip }, async (t) => {
  const folder = createFolder(t);
  folder.write('fwknopd.conf', `FWKNOP_RUN_DIR ${folder.path}`);
  const dump = dumpOf(folder.path, []).stdout;
  const settings = Array.from(dump.matchAll(/^ *\d+\. (\w+) +=/gm), ([, name = '']) => name);
  t.ok(settings.length > 50, `${settings.length} settings`);
  for (const name of settings) t.ok(Object.hasOwn(SERVER_KEYWORDS, name), name);
  const stanza = Array.from(dump.matchAll(/^ +([A-Z_0-9]+)(?: \(\w+\))?: {2}/gm), ([, name = '']) => name);
  t.ok(stanza.length > 30, `${stanza.length} lines of a stanza`);
  for (const name of stanza.filter((line) => !line.endsWith('KEY_LEN'))) {
    t.ok(Object.hasOwn(ACCESS_KEYWORDS, name), name);
  }
});

t.test('files of -O count more, for both', { skip }, async (t) => {
  const judge = createJudge(t);
  const [first, second] = [
    'MAX_SPA_PACKET_AGE 99\nVERBOSE 2\nDIGEST_FILE $FWKNOP_RUN_DIR/first',
    'MAX_SPA_PACKET_AGE 98\nFWKNOP_RUN_DIR /tmp',
  ];
  const { ours, theirs } = judge('MAX_SPA_PACKET_AGE 60\nVERBOSE 1', [first, second]);
  t.same(ours, theirs);
  t.match(ours, { age: 98, verbosity: 2 });
});

t.test('what nobody meant is refused here, and what is read here is on purpose', { skip }, async (t) => {
  const judge = createJudge(t);
  for (const text of REFUSED_HERE) {
    const { ours, theirs } = judge(text);
    t.equal(ours, null, text);
    t.not(theirs, null, text);
  }
  for (const text of READ_HERE) {
    const { ours, theirs } = judge(text);
    t.not(ours, null, text);
    t.notOk(isDeepStrictEqual(ours, theirs), text);
  }
});

type Judge = (text: string, more?: readonly string[]) => { readonly ours: Outcome; readonly theirs: Outcome };

function createJudge(t: Test): Judge {
  const { path, write } = createFolder(t);
  return (text, more = []) => {
    const configFile = write('fwknopd.conf', `PCAP_INTF lo\nFWKNOP_RUN_DIR ${path}\n${text}`);
    const overrideFiles = more.map((one, index) => write(`more-${index}.conf`, one));
    return { ours: readOurs(configFile, overrideFiles), theirs: readTheirs(path, overrideFiles) };
  };
}

/** A folder with an access.conf, in which `write` makes files that are nobody else's and gives their paths. */
function createFolder(t: Test): {
  readonly path: string;
  readonly write: (name: string, text: string) => string;
} {
  const folder = t.testdir({});
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), `${text}\n`, { mode: 0o600 });
    return join(folder, name);
  };
  write('access.conf', 'SOURCE ANY\nKEY secret');
  return { path: folder, write };
}

function readOurs(configFile: string, overrideFiles: readonly string[]): Outcome {
  try {
    const { value } = loadServerConfig({ configFile, overrideFiles, overrides: [] });
    return {
      age: value.maxPacketAgeSeconds,
      runFolder: value.runFolder,
      pidFile: value.pidFile,
      digestFile: value.digestFile,
      identity: value.syslog.identity,
      facility: `LOG_${value.syslog.facility.toUpperCase()}`,
      chain: value.firewall.iptables.chain,
      verbosity: value.verbosity,
    };
  } catch (error) {
    if (error instanceof ConfigError) return null;
    throw error;
  }
}

function dumpOf(
  folder: string,
  overrideFiles: readonly string[],
): { readonly status: number | null; readonly stdout: string } {
  const more = overrideFiles.length === 0 ? [] : ['-O', overrideFiles.join(',')];
  const command = ['-c', 'fwknopd.conf', '-a', 'access.conf', '-D', ...more];
  return spawnSync('fwknopd', command, { cwd: folder, env: environment(), encoding: 'utf8' });
}

function readTheirs(folder: string, overrideFiles: readonly string[]): Outcome {
  const { status, stdout } = dumpOf(folder, overrideFiles);
  if (status !== 0) return null;
  const shownAs = (name: string): string =>
    new RegExp(`^ *\\d+\\. ${name} +=  '(.*)'$`, 'm').exec(stdout)?.[1] ?? '';
  return {
    age: Number(shownAs('MAX_SPA_PACKET_AGE')),
    runFolder: shownAs('FWKNOP_RUN_DIR'),
    pidFile: shownAs('FWKNOP_PID_FILE'),
    digestFile: shownAs('DIGEST_FILE'),
    identity: shownAs('SYSLOG_IDENTITY'),
    facility: shownAs('SYSLOG_FACILITY'),
    chain: shownAs('IPT_INPUT_ACCESS').split(', ')[4] ?? '',
    verbosity: Number(shownAs('VERBOSE').replace('<not set>', '0')),
  };
}
