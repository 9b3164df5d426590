import { writeFileSync } from 'node:fs';
import { lackingPrograms } from 'spa-lab';
import t from 'tap';
import { createClientHome, type Outcome, withoutChance } from './client-support.ts';

/** Lines of `[default]`, lines of `[x]`, options. */
type Layers = readonly [string, string, string];

const ALIKE: readonly Layers[] = [
  ['KEY k;HMAC_KEY h;USE_HMAC N', '', ''],
  ['KEY k;HMAC_KEY h', 'USE_HMAC N', ''],
  ['KEY aaa;HMAC_KEY h', 'KEY_BASE64 YmJiYg==;HMAC_KEY_BASE64 Yw==', ''],
  ['KEY_BASE64 YmJiYg==', 'KEY ccc', ''],
  ['KEY_BASE64 YmJiYg==', '', '--key-rijndael zz'],
  ['KEY k;HMAC_DIGEST_TYPE sha3_512', 'HMAC_KEY x', ''],
  ['KEY k', '', '--hmac-digest-type sha1 --key-hmac h'],
  ['KEY k', '', '--hmac-digest-type sha1'],
  ['KEY k;FW_TIMEOUT 30', '', '-f 0'],
  ['KEY k;FW_TIMEOUT 30', 'FW_TIMEOUT 40', ''],
  ['KEY k;NAT_LOCAL Y', '', '-N 10.0.0.5:23'],
  ['KEY k;NAT_ACCESS 10.0.0.5:23', 'NAT_LOCAL N;NAT_PORT 2222', ''],
  ['KEY k;ALLOW_IP resolve', '', '-a 192.0.2.9'],
  ['KEY k;RESOLVE_IP_HTTPS Y', '', '-a 192.0.2.9'],
  ['KEY k;TIME_OFFSET 1h', '', '--time-offset-minus 2h'],
  ['KEY k;TIME_OFFSET -1d', '', ''],
  ['KEY k;ENCRYPTION_MODE ctr;DIGEST_TYPE SHA512;SPOOF_USER bob', 'SPOOF_USER eve', '-m md5'],
  ['KEY k;ENCRYPTION_MODE legacy;HMAC_KEY h', '', ''],
  ['KEY k;GPG_SIGNER a;GPG_RECIPIENT b', 'USE_GPG N', ''],
  ['KEY k;SPA_SERVER_PORT 99;SPA_SOURCE_PORT 98', '', ''],
  ['KEY k', 'ACCESS udp/53;[X];ACCESS udp/54', ''],
  ['KEY k', 'ACCESS: udp/53;# note', ''],
  ...['tcp/22,', 'TCP/22', 'icmp/0', 'none/0', 'tcp/1-5', 'tcp/65536', 'tcp/22,tcp/22'].map(
    (ports): Layers => ['KEY k', '', `-A ${ports}`],
  ),
  ...['192.0.2.1/32', '0.0.0.0', 'localhost', '192.0.2'].map((ip): Layers => ['KEY k', '', `-a ${ip}`]),
  ['KEY k', '', '-M asymmetric'],
  ['KEY k', '', '-g'],
  ['KEY k', '', '-f 65537'],
  ['KEY k', '', '-p 70000'],
  ['KEY k', '', '-U a:b'],
];

/** What differs on purpose: fwknop sends something else than what stands there, or what no server takes. */
const REFUSED_HERE: readonly Layers[] = [
  ['KEY k', '', '-A tcp/022'],
  ['KEY k', '', '-a 010.1.2.3'],
  ['KEY k', '', '-p 0'],
  ['KEY k', '', '-p 22x'],
  ['KEY k', '', '-N 10.0.0.5:23 --nat-port 0'],
  ['KEY k;USE_HMAC yes', '', ''],
  ['KEY k;TIME_OFFSET 5x', '', ''],
];

t.test(
  'of the same rc file and options both clients make the same packet, or neither does',
  { skip: lackingPrograms('fwknop') },
  async (t) => {
    const both = clients(createClientHome(t));
    for (const layers of ALIKE) {
      const [ours, theirs] = both(layers);
      t.same(ours, theirs, layers.join(' | '));
    }
    for (const layers of REFUSED_HERE) {
      const [ours, theirs] = both(layers);
      t.ok(ours === null && theirs !== null, layers.join(' | '));
    }
  },
);

/** What each prints of a packet and whether its time is now; null if it makes none. */
function clients(home: ReturnType<typeof createClientHome>): (layers: Layers) => readonly (object | null)[] {
  return ([byDefault, named, options]) => {
    const lines = [
      ...[
        '[default]',
        'SPA_SERVER 127.0.0.1',
        'ACCESS tcp/22',
        'ALLOW_IP 192.0.2.7',
        ...byDefault.split(';'),
      ],
      ...['[x]', ...named.split(';')],
    ];
    writeFileSync(home.path('rc'), `${lines.join('\n')}\n`, { mode: 0o600 });
    const argv = [
      '--rc-file',
      home.path('rc'),
      '-n',
      'x',
      '--no-save-args',
      '-T',
      '-v',
      ...options.split(' '),
    ];
    const given = argv.filter((word) => word !== '');
    return [home.ours(...given), home.theirs(...given)].map(packetOf);
  };
}

function packetOf({ code, stdout }: Outcome): object | null {
  // The stock client says 0 of some packets that it could not decode itself.
  if (code !== 0 || !stdout.includes('Dump of the Decoded Data')) return null;
  const seconds = Number(/^ *Timestamp: (\d+)$/m.exec(stdout)?.[1]) - Date.now() / 1000;
  return { fields: withoutChance(stdout), offsetMinutes: Math.round(seconds / 1200) * 20 + 0 };
}
