import { UsageError } from 'spa-host';
import t from 'tap';
import { parseClientCommand } from '../src/cli/client-options.ts';
import { parseRcFile, stanzaSettings } from '../src/rc-file.ts';

t.test('the command lines of fwknop(8) say what they say there', async (t) => {
  const ssh = [{ protocol: 'tcp', port: 22 }];
  const rows: readonly (readonly [string, object])[] = [
    [
      '-A tcp/22 --use-hmac -R -D 2.2.2.2 --key-gen --save-rc-stanza --verbose',
      {
        settings: { access: ssh, useHmac: true, allowIp: 'resolve', server: '2.2.2.2', verbose: 1 },
        orders: { 'key-gen': true, 'save-rc-stanza': true },
      },
    ],
    ['-n 2.2.2.2', { orders: { 'named-config': '2.2.2.2' } }],
    [
      '-A tcp/22,tcp/1194 --use-hmac -a 1.1.1.1 -D 3.3.3.3',
      { settings: { access: [...ssh, { protocol: 'tcp', port: 1194 }], allowIp: '1.1.1.1', useHmac: true } },
    ],
    // The page has a dash too many in the second.
    [
      '-A tcp/22 --use-hmac --gpg-sign ABCD1234 --gpg-recipient 1234ABCD -R -D 3.3.3.3',
      { settings: { useGpg: true, gpgSigner: 'ABCD1234', gpgRecipient: '1234ABCD' } },
    ],
    [
      '-A tcp/22 -N 192.168.10.2:22 -R -D 3.3.3.3',
      { settings: { natAccess: { host: '192.168.10.2', port: 22 } } },
    ],
    ['-A tcp/22 -M legacy -R -D 2.2.2.2', { settings: { cipherMode: 'legacy' } }],
  ];
  for (const [line, expected] of rows) t.match(parseClientCommand(line.split(' ')), expected, line);
  t.throws(
    () => parseClientCommand('--spoof-src www.example.com -A tcp/22 -a 1.1.1.1 -D 3.3.3.3'.split(' ')),
    new UsageError(
      '--spoof-src: that takes a raw socket, which only root has; leave it out, and send by -P udp, tcp or http',
    ),
  );
});

t.test('the stanza that fwknop(8) shows as saved is read', async (t) => {
  const text = `[2.2.2.2]
ACCESS                      tcp/22
SPA_SERVER                  2.2.2.2
KEY_BASE64                  HvUtIOramehLGKimD4ECXOzinaH4h3U8H1WXum7b54Q=
HMAC_KEY_BASE64             aG1hYy1rZXktb2YtdGhlLXRlc3Q=
USE_HMAC                    Y
VERBOSE                     Y
RESOLVE_IP_HTTPS            Y
`;
  t.match(stanzaSettings(parseRcFile('rc', text), '2.2.2.2'), {
    server: '2.2.2.2',
    useHmac: true,
    verbose: 1,
    allowIp: 'resolve',
  });
});

t.test(
  'what the template of fwknop has in comments can be taken out of them, but for its one mistake',
  async (t) => {
    const settings = (line: string): object =>
      stanzaSettings(parseRcFile('rc', `[default]\n${line}\n`), null);
    for (const line of [
      'DIGEST_TYPE         sha256',
      'FW_TIMEOUT          30',
      'SPA_SERVER_PORT     62201',
      'SPA_SERVER_PROTO    udp',
      'TIME_OFFSET         0',
      'USE_GPG             N',
      'GPG_HOMEDIR         /path/to/.gnupg',
      'GPG_EXE             /path/to/gpg',
      'NO_SAVE_ARGS        N',
      'NAT_ACCESS          192.168.1.55,88',
    ]) {
      t.doesNotThrow(() => settings(line), line);
    }
    t.throws(() => settings('CLIENT_TIMEOUT      60'), {
      message: 'rc:2: CLIENT_TIMEOUT: there is no such keyword; the nearest is FW_TIMEOUT',
    });
  },
);
