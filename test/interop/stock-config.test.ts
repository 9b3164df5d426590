import { mkdirSync, writeFileSync } from 'node:fs';
import {
  addresses,
  createLab,
  doorCloses,
  doorOpens,
  type Lab,
  lacking,
  PROGRAMS,
  reach,
  startSpaServer,
} from 'spa-lab';
import t from 'tap';

t.setTimeout(120_000);

const DOOR = ['OPEN_PORTS tcp/22', 'FW_ACCESS_TIMEOUT 3'];

/** A folder of stanzas as several admins keep it, and what each says of the packet that comes. */
const FILES: Readonly<Record<string, readonly string[]>> = {
  'access.d/a-open.conf': [
    'SOURCE ANY',
    `DESTINATION ${addresses.server4}`,
    '%include_keys ../keys/open',
    ...DOOR,
  ],
  'access.d/b-expired.conf': ['SOURCE ANY', 'KEY expired', 'ACCESS_EXPIRE 01/01/2020', ...DOOR],
  'access.d/c-elsewhere.conf': ['SOURCE ANY', 'KEY elsewhere', 'DESTINATION 192.0.2.99', ...DOOR],
  'access.d/d-later.conf': ['SOURCE ANY', 'KEY later', `ACCESS_EXPIRE_EPOCH ${4_000_000_000}`, ...DOOR],
  'keys/open': ['KEY open', 'HMAC_KEY authentic'],
};

t.test(
  'a folder of stanzas, their keys elsewhere, their time and their place, for the stock client',
  { skip: lacking('fwknop', 'iptables', 'nft', 'sshd', 'ssh') },
  async (t) => {
    const lab = await createLab('iptables');
    t.teardown(lab.dispose);
    for (const folder of ['access.d', 'keys']) mkdirSync(lab.scratch.path(folder));
    for (const [name, lines] of Object.entries(FILES)) {
      writeFileSync(lab.scratch.path(...name.split('/')), `${lines.join('\n')}\n`, { mode: 0o600 });
    }
    const daemon = await startSpaServer(lab.bastion, lab.scratch, {
      server: [`ACCESS_FOLDER ${lab.scratch.path('access.d')}`, `LISTEN_ADDRESS ${addresses.server4}`],
      access: ['this file is not read'],
    });
    const refusals: readonly (readonly [key: string, ports: string, log: string | RegExp])[] = [
      ['expired', 'tcp/22', '(stanza #2) Access stanza has expired'],
      ['elsewhere', 'tcp/22', 'denied tcp/22 for 10.77.0.1: it was sent to an address'],
      // With fwknopd the first of two files gives these, and not tcp/22 alone.
      [
        'open',
        'tcp/22,tcp/3306',
        '(stanza #1) One or more requested protocol/ports was denied per access.conf.',
      ],
    ];
    for (const [key, ports, log] of refusals) {
      await knock(lab, key, ports);
      await daemon.logged(log);
    }
    t.equal(await reach(lab.operator, addresses.server4), 'silent', 'none of them opens anything');
    for (const key of ['open', 'later']) {
      await knock(lab, key, 'tcp/22');
      await doorOpens(lab);
      await doorCloses(lab);
      t.pass(`${key}: the door opens, and closes`);
    }
    await daemon.stop();

    // The command line counts more than a file of -O.
    const more = lab.scratch.path('more.conf');
    writeFileSync(more, `ACCESS_FOLDER ${lab.scratch.path('none')}\n`);
    const checked = await lab.bastion.run([
      ...[process.execPath, PROGRAMS.spaServer, '-c', daemon.configFile, '--exit-parse-config'],
      ...['-O', more, '--access-folder', lab.scratch.path('access.d')],
    ]);
    t.match(checked, { status: 0, stdout: /^configuration OK: 4 stanzas/ });
  },
);

async function knock(lab: Lab, key: string, ports: string): Promise<void> {
  const hmac = key === 'open' ? ['--key-hmac', 'authentic'] : [];
  await lab.operator.must([
    ...['fwknop', '-A', ports, '-a', addresses.client4, '-D', addresses.server4],
    ...['--key-rijndael', key, ...hmac, '--no-rc-file', '--no-save-args'],
  ]);
}
