import t from 'tap';
import { parseServerConfig } from '../src/config/server-config.ts';
import { parseAccessText } from './access-text.ts';

const ACCESS = '/etc/fwknop/access.conf';
const SERVER = '/etc/fwknop/fwknopd.conf';
const SAID = 'ENABLE_UDP_SERVER Y\nFIREWALL nftables\n';

t.test('a line that means something else to fwknopd is named, with what fwknopd makes of it', async (t) => {
  const { differences } = parseAccessText(
    ACCESS,
    'SOURCE ANY\nKEY k\nFW_ACCESS_TIMEOUT 3600\nACCESS_EXPIRE 12/31/2030\nDESTINATION 192.0.2.7\n',
  );
  t.same(differences, [
    `${ACCESS}:3: FW_ACCESS_TIMEOUT: a client may ask for as much; with fwknopd for 300 seconds, unless MAX_FW_TIMEOUT says so`,
    `${ACCESS}:4: ACCESS_EXPIRE: doors close at that moment too; fwknopd leaves those that are open`,
    `${ACCESS}:5: DESTINATION: holds with a UDP socket on LISTEN_ADDRESS too; fwknopd never finds it there`,
  ]);
});

t.test('a key that had blanks at its end is another key now', async (t) => {
  const { differences } = parseAccessText(ACCESS, 'SOURCE ANY \nKEY secret \nOPEN_PORTS tcp/22 \n');
  t.same(differences, [
    `${ACCESS}:2: KEY: the blanks at the end are no part of it; to fwknopd 2.6.10 they are, but not to 2.6.11`,
  ]);
});

t.test('a line that means the same is not', async (t) => {
  const same = [
    'SOURCE 192.0.2.0/24',
    'KEY k',
    'FW_ACCESS_TIMEOUT 30',
    'DESTINATION ANY',
    'OPEN_PORTS tcp/22',
  ];
  t.same(parseAccessText(ACCESS, same.join('\n')).differences, []);
  t.same(parseServerConfig(SERVER, `${SAID}MAX_SPA_PACKET_AGE 60\nCONFIG_FILE x`, []).differences, []);
});

t.test('what has no effect here is named, wherever it is said and however it is spelt', async (t) => {
  const text = `${SAID}MAX_SNIFF_BYTES 1500\nFLUSH_FIREWD_AT_INIT Y\n`;
  const option = { keyword: 'LOCALE', value: 'C', place: { file: '--locale' } };
  const more = [{ file: '/x.conf', text: 'RULES_CHECK_THRESHOLD 20' }];
  t.same(parseServerConfig(SERVER, text, [option], more).differences, [
    `${SERVER}:3: MAX_SNIFF_BYTES: has no effect here`,
    `${SERVER}:4: FLUSH_FIREWD_AT_INIT: a reload closes no door; that of fwknopd closes all`,
    '/x.conf:1: RULES_CHECK_THRESHOLD: has no effect here: the kernel closes doors by itself',
    '--locale: has no effect here',
  ]);
});

t.test('defaults that are not those of fwknopd are named, too', async (t) => {
  t.same(parseServerConfig(SERVER, '', []).differences, [
    `${SERVER}: packets come through a UDP socket; fwknopd captures them on eth0, unless ENABLE_UDP_SERVER says Y`,
    `${SERVER}: doors are made in nftables or iptables, whichever this host uses; fwknopd makes them in iptables, unless FIREWALL_EXE says so`,
  ]);
});
