import { formatSshbhOptions } from './sshbh-options.ts';
import { VERBS } from './verbs.ts';

/** What `sshbh --help` prints. */
export function sshbhHelp(): string {
  return `sshbh: open a bastion's door with one packet, then be ssh

Usage: sshbh [options] [USER@]REGION [[USER@]HOST] [ssh options] [-- COMMAND...]
       sshbh VERB ...

  sshbh us-east-1                            a shell on the bastion
  sshbh us-east-1 -- uptime                  a command there
  sshbh us-east-1 10.0.1.5                   through it to a private host: your key stays here, no agent is forwarded
  sshbh us-east-1 root@db-3 -- df -h /       a command there
  sshbh alice@us-east-1 -A -L 8080:web:80    ssh's own options, anywhere

A region is a stanza of ~/.fwknoprc (mode 600) with a host and keys; spa-client --help says how to make them:
  [us-east-1]
  SPA_SERVER       bastion.us-east-1.example.com
  KEY_BASE64       kOQhv...=
  HMAC_KEY_BASE64  H0nLw...=
  FALLBACK         us-east-1b          other stanzas, tried when this bastion does not open
  PRIVATE_HOSTS    10.0.1.*,*.use1     whom sshbh config sends through it
Without ACCESS the door is tcp/22, without ALLOW_IP it opens for the address that the packet comes from. What ssh is to do
for that host stays in ~/.ssh/config.

Verbs (sshbh VERB --help says more; a region of that name: sshbh ssh NAME):
${formatVerbs()}

Options:
${formatSshbhOptions()}

A packet goes to the address that ssh will use; as soon as the port answers, sshbh becomes ssh with the same terminal. A
lost packet is followed by a new one; if the door is open, or a connection of ssh's is there to be shared, none is sent.

Exit status: ssh's own; 255 also if the host is not found or the door does not open,
64 the command line is wrong, 78 the rc file or a key is wrong, or there is no such region.
`;
}

function formatVerbs(): string {
  const left = VERBS.map(({ name, usage }) => `  ${name} ${usage}`);
  const width = Math.max(...left.map((text) => text.length)) + 2;
  return VERBS.map(({ help }, index) => `${left[index]?.padEnd(width)}${help}`).join('\n');
}
