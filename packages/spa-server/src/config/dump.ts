import { formatProtoPorts, type IpNetwork, type OpeningKeys } from 'spa-core';
import type { NatPolicy } from '../decision/nat.ts';
import type { SignerTerms } from '../decision/signers.ts';
import type { Stanza } from '../decision/stanza.ts';
import type { IptablesChain } from '../firewall/iptables-chain.ts';
import type { NftChain } from '../firewall/nft-place.ts';
import { timeText } from '../roster/describe.ts';
import type { LoadedRoster } from '../roster/load-roster.ts';
import type { ReceptionConfig } from '../transport/reception-config.ts';
import type { Configuration } from './load.ts';
import { allowsNat } from './nat-config.ts';
import { protectedPorts, type ServerConfig } from './server-config.ts';

/** All settings that are in force, one `NAME: value` a line, then those of each stanza. Keys are not shown. */
export function formatConfiguration({ config, stanzas, roster }: Configuration): string {
  const lines = [...configLines(config, stanzas), ...rosterLines(config, roster)];
  const blocks = [lines, ...stanzas.map(stanzaLines)];
  return blocks.map((lines) => lines.map(([name, value]) => `${name}: ${value}\n`).join('')).join('\n');
}

type Line = readonly [name: string, value: string | number];

function configLines(config: ServerConfig, stanzas: readonly Stanza[]): readonly Line[] {
  const { firewall, gnupg, syslog } = config;
  return [
    ...receptionLines(config.reception),
    ['MAX_SPA_PACKET_AGE', config.maxPacketAgeSeconds],
    ['FIREWALL', firewall.kind],
    ['FIREWALL_EXE', firewall.program ?? NOT_SET],
    ['NFT_MODE', firewall.nftAttach === null ? 'own' : 'attach'],
    ['NFT_ATTACH_CHAIN', formatNftChain(firewall.nftAttach)],
    ['NFT_ATTACH_FORWARD_CHAIN', formatNftChain(firewall.nftAttachForward)],
    ['PROTECT_PORTS', formatProtoPorts(protectedPorts(config, stanzas))],
    ['SPA_PREFILTER', yesNo(firewall.preFilter !== null)],
    ['SPA_RATE_PER_SOURCE', firewall.preFilter?.ratePerSource ?? 0],
    ['FLUSH_IPT_AT_INIT', yesNo(firewall.flushAtInit)],
    ['FLUSH_IPT_AT_EXIT', yesNo(firewall.flushAtExit)],
    ['ENABLE_DESTINATION_RULE', yesNo(config.doorsAtDestination)],
    ['ENABLE_IPT_OUTPUT', yesNo(firewall.answers)],
    ...natLines(config),
    ...chainLines(config),
    ['ACCESS_FILE', config.accessFile],
    ['ACCESS_FOLDER', config.accessFolder ?? NOT_SET],
    ['FWKNOP_PID_FILE', config.pidFile],
    ['FWKNOP_RUN_DIR', config.runFolder],
    ['DIGEST_FILE', config.digestFile],
    ['REPLAY_STORE', config.replayStore],
    ['GPG_HOME_DIR', gnupg.directory ?? NOT_SET],
    ['GPG_EXE', gnupg.program],
    ['CMD_EXEC_TIMEOUT', config.commands.messageSeconds],
    ['SUDO_EXE', config.commands.sudo],
    ['SYSLOG_IDENTITY', syslog.identity],
    ['SYSLOG_FACILITY', `LOG_${syslog.facility.toUpperCase()}`],
    ['LOG_FORMAT', config.logFormat],
    ['VERBOSE', config.verbosity],
  ];
}

function natLines({ nat }: ServerConfig): readonly Line[] {
  return [
    ['ENABLE_IPT_FORWARDING', yesNo(nat.ENABLE_IPT_FORWARDING?.value === true)],
    ['ENABLE_IPT_LOCAL_NAT', yesNo(nat.ENABLE_IPT_LOCAL_NAT?.value === true)],
    ['ENABLE_IPT_SNAT', yesNo(nat.ENABLE_IPT_SNAT?.value === true)],
    ['SNAT_TRANSLATE_IP', nat.SNAT_TRANSLATE_IP?.value ?? NOT_SET],
    ['ENABLE_NAT_DNS', yesNo(nat.ENABLE_NAT_DNS?.value !== false)],
    ['NAT_TARGETS', formatTargets(nat.NAT_TARGETS?.value ?? null)],
  ];
}

function chainLines({ firewall }: ServerConfig): readonly Line[] {
  const { forward, dnat, snat, masquerade } = firewall.iptablesForwards;
  return [
    ['IPT_INPUT_ACCESS', formatChain(firewall.iptables)],
    ['IPT_OUTPUT_ACCESS', formatChain(firewall.iptablesOutput)],
    ['IPT_FORWARD_ACCESS', formatChain(forward)],
    ['IPT_DNAT_ACCESS', formatChain(dnat)],
    ['IPT_SNAT_ACCESS', formatChain(snat)],
    ['IPT_MASQUERADE_ACCESS', formatChain(masquerade)],
  ];
}

function receptionLines({ datagrams, listenAddress, tcpPort, http }: ReceptionConfig): readonly Line[] {
  const capture = datagrams.kind === 'capture' ? datagrams : null;
  const filter = datagrams.kind === 'socket' ? null : datagrams.filter.value;
  return [
    ['ENABLE_UDP_SERVER', yesNo(datagrams.kind === 'socket')],
    ['UDPSERV_PORT', datagrams.kind === 'socket' ? datagrams.port : NOT_SET],
    ['LISTEN_ADDRESS', listenAddress ?? NOT_SET],
    ['PCAP_INTF', capture?.interface.value ?? NOT_SET],
    ['PCAP_FILTER', filter ?? NOT_SET],
    ['PCAP_FILE', datagrams.kind === 'file' ? datagrams.path.value : NOT_SET],
    ['ENABLE_PCAP_PROMISC', yesNo(capture?.promiscuous === true)],
    ['ENABLE_PCAP_ANY_DIRECTION', yesNo(capture?.anyDirection === true)],
    ['EXIT_AT_INTF_DOWN', yesNo(capture?.whenDown === 'exit')],
    ['ENABLE_TCP_SERVER', yesNo(tcpPort !== null)],
    ['TCPSERV_PORT', tcpPort ?? NOT_SET],
    ['ENABLE_SPA_OVER_HTTP', yesNo(http !== null)],
    ['ALLOW_ANY_USER_AGENT', yesNo(http?.anyUserAgent === true)],
    ['ENABLE_X_FORWARDED_FOR', yesNo(http?.forwardedFor === true)],
  ];
}

/** What is in parentheses is no setting, but what the roster itself says. */
function rosterLines({ roster: config }: ServerConfig, loaded: LoadedRoster | null): readonly Line[] {
  if (config === null || loaded === null) return [['SPA_ROSTER', NOT_SET]];
  const { roster, accepted, isNew } = loaded;
  const since = isNew ? 'not yet' : timeText(accepted.acceptedAtSeconds);
  return [
    ['SPA_ROSTER', config.file.value],
    ['SPA_ROSTER_SIGNER_CERT_FILE', config.signerCertFile.value],
    ['SPA_ROSTER_SIGNER', config.signers?.value.join(', ') ?? NOT_SET],
    ['(roster)', `${roster.roster}, version ${roster.version}, issued ${timeText(roster.issuedAtSeconds)}`],
    ['(roster is for)', `${roster.bastion.name}, ${roster.bastion.fingerprints.join(', ')}`],
    ['(roster signed by)', accepted.signer],
    ['(roster accepted)', since],
    ['(roster operators)', roster.operators.length],
  ];
}

function stanzaLines(stanza: Stanza): readonly Line[] {
  return [
    [`SOURCE (${stanza.number})`, formatNetworks(stanza.sources)],
    ['DESTINATION', formatNetworks(stanza.destinations)],
    ['OPEN_PORTS', stanza.openPorts === null ? NOT_SET : formatProtoPorts(stanza.openPorts)],
    ['RESTRICT_PORTS', stanza.restrictPorts.length === 0 ? NOT_SET : formatProtoPorts(stanza.restrictPorts)],
    ['FW_ACCESS_TIMEOUT', stanza.accessTimeoutSeconds],
    ['MAX_FW_TIMEOUT', stanza.maxTimeoutSeconds],
    ['REQUIRE_SOURCE_ADDRESS', yesNo(stanza.requireSourceAddress)],
    ['REQUIRE_USERNAME', stanza.requireUsername ?? NOT_SET],
    ['ACCESS_EXPIRE', stanza.expiresAtSeconds === null ? NOT_SET : timeText(stanza.expiresAtSeconds)],
    ...stanzaNatLines(stanza),
    ...commandLines(stanza),
    ...cycleLines(stanza),
    ...stanza.keys.flatMap(keyLines),
    ...[...(stanza.signers ?? [])].map(signerLine),
    ...hmacLines(stanza.keys[0]?.hmac ?? null),
  ];
}

const NOT_SET = '<not set>';
const SECRET = '<see access.conf>';

/** Nothing where fwknopd.conf allows no NAT. */
function stanzaNatLines({ nat }: Stanza): readonly Line[] {
  if (!allowsNat(nat)) return [];
  const { force, sourceAs } = nat;
  return [
    ['FORCE_NAT', force === null ? NOT_SET : `${force.address} ${force.port}`],
    ['FORWARD_ALL', yesNo(nat.forwardAll)],
    ['DISABLE_DNAT', yesNo(!nat.translates)],
    ['(inner hosts see)', sourceAs ?? 'the client'],
    ['NAT_TARGETS', formatTargets(nat.targets)],
  ];
}

function commandLines({ commands }: Stanza): readonly Line[] {
  if (commands === null) return [['ENABLE_CMD_EXEC', 'N']];
  const { account, sudo } = commands;
  return [
    ['ENABLE_CMD_EXEC', 'Y'],
    ['CMD_EXEC_USER', account === null ? NOT_SET : `${account.name} (UID=${account.uid},GID=${account.gid})`],
    ['ENABLE_CMD_SUDO_EXEC', yesNo(sudo !== null)],
    ['CMD_SUDO_EXEC_USER', sudo?.user ?? NOT_SET],
    ['CMD_SUDO_EXEC_GROUP', sudo?.group ?? NOT_SET],
  ];
}

function cycleLines({ cycle }: Stanza): readonly Line[] {
  if (cycle === null) return [];
  return [
    ['CMD_CYCLE_OPEN', cycle.open.join(' ')],
    ['CMD_CYCLE_CLOSE', cycle.close?.join(' ') ?? 'NONE'],
    ['CMD_CYCLE_TIMER', cycle.timerSeconds],
  ];
}

function keyLines(keys: OpeningKeys): readonly Line[] {
  if (keys.kind === 'aes') {
    return [
      ['KEY', SECRET],
      ['ENCRYPTION_MODE', keys.key.mode],
    ];
  }
  const fingerprints = keys.certificates.map((certificate) => certificate.fingerprint);
  return [
    ['GPG_DECRYPT_ID', keys.secretKeys.map((key) => key.fingerprint).join(', ')],
    ['GPG_DISABLE_SIG', yesNo(!keys.requireSignature)],
    ['GPG_FINGERPRINT_ID', fingerprints.length === 0 ? NOT_SET : fingerprints.join(', ')],
  ];
}

function signerLine([fingerprint, terms]: readonly [string, SignerTerms]): Line {
  const { name, enrolledUntilSeconds, openPorts } = terms;
  const parts = [
    ...(name === null ? [] : [name]),
    ...certifiedText(terms),
    ...(name === null ? [] : [`on the roster ${untilText(enrolledUntilSeconds)}`]),
    ...(openPorts === null ? [] : [formatProtoPorts(openPorts), `${terms.maxTimeoutSeconds} s`]),
  ];
  return [`(signer ${fingerprint})`, parts.join(', ')];
}

/** Nothing of who needs no certification. */
function certifiedText({ isCertified, certifiedUntilSeconds }: SignerTerms): readonly string[] {
  if (!isCertified) return ['not certified'];
  return Number.isFinite(certifiedUntilSeconds) ? [`certified ${untilText(certifiedUntilSeconds)}`] : [];
}

function untilText(seconds: number): string {
  return Number.isFinite(seconds) ? `until ${timeText(seconds)}` : 'without end';
}

function hmacLines(hmac: OpeningKeys['hmac']): readonly Line[] {
  if (hmac === null) return [['HMAC_KEY', NOT_SET]];
  return [
    ['HMAC_KEY', SECRET],
    ['HMAC_DIGEST_TYPE', hmac.digest],
  ];
}

function formatNetworks(networks: 'any' | readonly IpNetwork[]): string {
  return networks === 'any' ? 'ANY' : networks.map(formatNetwork).join(', ');
}

function formatNetwork({ address, prefixLength }: IpNetwork): string {
  return `${address}/${prefixLength}`;
}

function formatTargets(targets: NatPolicy['targets']): string {
  if (targets === null) return NOT_SET;
  const formatOne = (network: string, port: number): string =>
    network.includes(':') ? `[${network}]:${port}` : `${network}:${port}`;
  return targets
    .map(({ network, ports }) => [formatNetwork(network), ports] as const)
    .flatMap(([network, ports]) => ports?.map((port) => formatOne(network, port)) ?? [network])
    .join(', ');
}

function formatChain({ target, table, from, position, chain }: IptablesChain): string {
  return `${target}, ${table}, ${from}, ${position}, ${chain}, 1`;
}

function formatNftChain(chain: NftChain | null): string {
  return chain === null ? NOT_SET : `${chain.family} ${chain.table} ${chain.chain}`;
}

function yesNo(value: boolean): string {
  return value ? 'Y' : 'N';
}
