import { formatClientOptions } from './client-options.ts';

/** What `spa-client --help` prints. */
export function clientHelp(): string {
  return `spa-client: ask a firewall to open a door for you, with one encrypted packet

Usage: spa-client -n NAME                        settings from stanza [NAME] of ~/.fwknoprc
       spa-client -A PORTS (-s | -a ADDRESS) -D HOST [options]

One packet (Single Packet Authorization) goes to the server, which never answers. It understands the command line
and the rc file of fwknop 2.6, and its packets are taken by fwknopd. To open the door and run ssh in one go, see
sshbh --help.

Make keys once, and put the two lines into the rc file and into the server's access.conf:
  spa-client --key-gen
or have the stanza written, and copy the two lines from there:
  spa-client --key-gen -n us-east-1 -A tcp/22 -s -D bastion.us-east-1.example.com --save-rc-stanza

~/.fwknoprc (mode 600). What [default] says is for every run; a stanza overrides it; an option overrides both:
  [default]
  ACCESS           tcp/22
  ALLOW_IP         source
  [us-east-1]
  SPA_SERVER       bastion.us-east-1.example.com
  KEY_BASE64       kOQhv...=
  HMAC_KEY_BASE64  H0nLw...=

With OpenPGP keys the server knows who you are:
  [eu-west-1]
  SPA_SERVER       bastion.eu-west-1.example.com
  USE_GPG          Y
  GPG_SIGNER       me@example.com
  GPG_RECIPIENT    bastion@example.com
  HMAC_KEY_BASE64  mB2aa...=

Then:
  spa-client -n us-east-1                         open what the stanza says
  spa-client -n us-east-1 -a 198.51.100.7         ... for somebody else
  spa-client -n us-east-1 -R                      ... for the address that web services see (behind NAT)
  spa-client -n us-east-1 -A tcp/443 -f 60        ... another port, for 60 seconds
  spa-client -n us-east-1 -N 10.0.0.5 --nat-port 2222   port 2222 leads to port 22 of a host behind the server
  spa-client -n us-east-1 -C '/usr/bin/id'        the server runs a command, if it may
  spa-client -n us-east-1 -T -v                   look at the packet, send nothing

${formatClientOptions()}

A long option may be cut short as long as it is unique, and written --option=VALUE.
-a takes an IPv6 address too; our server understands that, stock fwknopd refuses such a packet.
-R asks over HTTPS, in the family of the server's address: over IPv6 the packet has your IPv6 address.
-k and -T print to standard output; everything else that is said goes to standard error.

Exit status: 0 the packet was sent (nobody says that it arrived), 1 it was not sent,
64 the command line is wrong, 78 the rc file or a key is wrong.
`;
}
